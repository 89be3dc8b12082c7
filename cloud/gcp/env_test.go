package gcp

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

const userFile = `{
  "type": "authorized_user", "client_id": "id", "client_secret": "very-secret", "refresh_token": "1//refresh", "quota_project_id": "quota-project"
}`

func source(env, files map[string]string) cloud.Source {
	return cloud.Source{
		Home:   "/home/me",
		Getenv: func(name string) string { return env[name] },
		ReadFile: func(path string) ([]byte, error) {
			text, ok := files[path]
			if !ok {
				return nil, fmt.Errorf("open %s: %w", path, fs.ErrNotExist)
			}
			return []byte(text), nil
		},
	}
}

func TestFromEnv(t *testing.T) {
	service := string(serviceKey(t, ""))
	const adc = "/home/me/.config/gcloud/application_default_credentials.json"
	type m = map[string]string
	for _, test := range []struct {
		name       string
		env, files m
		settings   m
		ca, proxy  string
		who        string
	}{
		{
			"service account", m{"GOOGLE_APPLICATION_CREDENTIALS": "/key.json"}, m{"/key.json": service, adc: "broken"},
			m{"project": "key-project"}, "", "", "sky@key-project.iam.gserviceaccount.com",
		},
		{"user", m{}, m{adc: userFile}, m{"project": "quota-project"}, "", "", "a user of OAuth client id"},
		{
			"gcloud's folder", m{"CLOUDSDK_CONFIG": "/etc/gcloud"}, m{"/etc/gcloud/application_default_credentials.json": userFile},
			m{"project": "quota-project"}, "", "", "a user of OAuth client id",
		},
		{
			"project", m{"GOOGLE_CLOUD_PROJECT": "first", "CLOUDSDK_CORE_PROJECT": "second"}, m{adc: service},
			m{"project": "first"}, "", "", "sky@key-project.iam.gserviceaccount.com",
		},
		{"gcloud's project", m{"CLOUDSDK_CORE_PROJECT": "example.com:second"}, m{adc: userFile}, m{"project": "example.com:second"}, "", "", "a user of OAuth client id"},
		{
			"everything", m{
				"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": "https://127.0.0.1:8443/compute/v1/", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": "/ca.pem",
				"SKYWELD_PROXY": "socks5://127.0.0.1:1080", "SKYWELD_EGRESS": "192.0.2.1",
			}, m{adc: userFile, "/ca.pem": "PEM"},
			m{"project": "quota-project", "endpoint": "https://127.0.0.1:8443/compute/v1/", "egress": "192.0.2.1"}, "PEM", "socks5://127.0.0.1:1080",
			"a user of OAuth client id",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := FromEnv(source(test.env, test.files))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.settings, a.Settings); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			if a.CA != test.ca || a.Proxy != test.proxy || a.Provider != cloud.GCP {
				t.Errorf("CA %q, proxy %q, provider %q", a.CA, a.Proxy, a.Provider)
			}
			creds, err := parseCredentials([]byte(a.Secrets[SecretCredentials].Reveal()))
			if err != nil {
				t.Fatal(err)
			}
			if creds.identity() != test.who {
				t.Errorf("identity %q, want %q", creds.identity(), test.who)
			}
			a.CA = "" // the test's isn't one
			if _, err := New(t.Context(), a, nil); err != nil {
				t.Errorf("the account can't be opened: %v", err)
			}
		})
	}
}

func TestFromEnvRefuses(t *testing.T) {
	const adc = "/home/me/.config/gcloud/application_default_credentials.json"
	var noProject map[string]any
	if err := json.Unmarshal([]byte(userFile), &noProject); err != nil {
		t.Fatal(err)
	}
	delete(noProject, "quota_project_id")
	plain, err := json.Marshal(noProject)
	if err != nil {
		t.Fatal(err)
	}
	type m = map[string]string
	for _, test := range []struct {
		name       string
		env, files m
		want       string
	}{
		{"nothing", m{}, m{}, "GOOGLE_APPLICATION_CREDENTIALS"},
		{"named file missing", m{"GOOGLE_APPLICATION_CREDENTIALS": "/none"}, m{adc: userFile}, "/none"},
		{"external", m{}, m{adc: `{"type":"external_account"}`}, `"external_account"`},
		{"impersonated", m{}, m{adc: `{"type":"impersonated_service_account"}`}, `"impersonated_service_account"`},
		{"no type", m{}, m{adc: `{"private_key":"very-secret"}`}, "no type"},
		{"not JSON", m{}, m{adc: `{"private_key": very-secret`}, "not the JSON"},
		{"half a user", m{}, m{adc: `{"type":"authorized_user","client_id":"x"}`}, "refresh_token"},
		{"half a key", m{}, m{adc: `{"type":"service_account","client_email":"x"}`}, "private_key"},
		{"broken key", m{}, m{adc: `{"type":"service_account","client_email":"x","private_key":"very-secret"}`}, "PEM"},
		{"no project", m{}, m{adc: string(plain)}, "GOOGLE_CLOUD_PROJECT"},
		{"strange project", m{"GOOGLE_CLOUD_PROJECT": "a/b"}, m{adc: userFile}, `"a/b"`},
		{"strange endpoint", m{"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": "localhost"}, m{adc: userFile}, "localhost"},
		{"CA missing", m{"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": "/ca.pem"}, m{adc: userFile}, "/ca.pem"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := FromEnv(source(test.env, test.files))
			if cloud.ClassOf(err) != cloud.Invalid || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want class invalid and %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "very-secret") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestEndpoint(t *testing.T) {
	for _, test := range []struct{ setting, universe, want string }{
		{"", "", "https://compute.googleapis.com/compute/v1/"},
		{"", "example.org", "https://compute.example.org/compute/v1/"},
		{"https://127.0.0.1:1/compute/v1", "example.org", "https://127.0.0.1:1/compute/v1/"},
		{"https://127.0.0.1:1/compute/v1/", "", "https://127.0.0.1:1/compute/v1/"},
	} {
		if got, err := endpointOf(test.setting, test.universe); err != nil || got != test.want {
			t.Errorf("%q, %q: %q, %v; want %q", test.setting, test.universe, got, err, test.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	user := cloud.Secret(userFile)
	for name, a := range map[string]cloud.Account{
		"no credentials": {},
		"broken":         {Secrets: map[string]cloud.Secret{SecretCredentials: "{"}},
		"strange CA":     {Secrets: map[string]cloud.Secret{SecretCredentials: user}, CA: "nonsense"},
		"endpoint":       {Secrets: map[string]cloud.Secret{SecretCredentials: user}, Settings: map[string]string{SettingEndpoint: "x"}},
		"project":        {Secrets: map[string]cloud.Secret{SecretCredentials: user}, Settings: map[string]string{SettingProject: "X Y"}},
	} {
		a.Name = "mine"
		if _, err := New(t.Context(), a, nil); cloud.ClassOf(err) != cloud.Invalid || !strings.Contains(fmt.Sprint(err), "mine") {
			t.Errorf("%s: %v, want class invalid", name, err)
		}
	}
}
