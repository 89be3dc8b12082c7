package digitalocean

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

func source(env map[string]string) cloud.Source {
	return cloud.Source{
		Getenv: func(name string) string { return env[name] },
		ReadFile: func(name string) ([]byte, error) {
			if name == "/ca.pem" {
				return []byte("PEM"), nil
			}
			return nil, fs.ErrNotExist
		},
	}
}

func TestFromEnv(t *testing.T) {
	for name, test := range map[string]struct {
		env      map[string]string
		token    string
		settings map[string]string
		ca       string
	}{
		"token": {map[string]string{"DIGITALOCEAN_TOKEN": "dop_v1_a", "DIGITALOCEAN_ACCESS_TOKEN": "dop_v1_b"}, "dop_v1_a", map[string]string{}, ""},
		"doctl": {map[string]string{"DIGITALOCEAN_ACCESS_TOKEN": "dop_v1_b\n"}, "dop_v1_b", map[string]string{}, ""},
		"lab":   {map[string]string{"DIGITALOCEAN_TOKEN": "t", "DIGITALOCEAN_API_URL": "https://127.0.0.1:7/v2", "SKYWELD_DIGITALOCEAN_CA": "/ca.pem", "SKYWELD_EGRESS": "192.0.2.1"}, "t", map[string]string{"endpoint": "https://127.0.0.1:7/", "egress": "192.0.2.1"}, "PEM"},
	} {
		a, err := FromEnv(source(test.env))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a.Secrets[SecretToken].Reveal() != test.token || a.CA != test.ca || a.Provider != cloud.DigitalOcean {
			t.Errorf("%s: token %q, CA %q", name, a.Secrets[SecretToken].Reveal(), a.CA)
		}
		if diff := cmp.Diff(test.settings, a.Settings); diff != "" {
			t.Errorf("%s: settings:\n%s", name, diff)
		}
		if strings.Contains(fmt.Sprintf("%v %+v", a, a), test.token+"]") {
			t.Errorf("%s: the token can be seen", name)
		}
	}
	for name, env := range map[string]map[string]string{
		"nothing":  {},
		"two":      {"DIGITALOCEAN_TOKEN": "a b"},
		"endpoint": {"DIGITALOCEAN_TOKEN": "a", "DIGITALOCEAN_API_URL": "api.example"},
		"no CA":    {"DIGITALOCEAN_TOKEN": "a", "SKYWELD_DIGITALOCEAN_CA": "/other.pem"},
	} {
		if _, err := FromEnv(source(env)); cloud.ClassOf(err) != cloud.Invalid {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
