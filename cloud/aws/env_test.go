package aws

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

// source is an environment of literal variables and files.
func source(env, files map[string]string) cloud.Source {
	return cloud.Source{
		Getenv: func(k string) string { return env[k] },
		ReadFile: func(name string) ([]byte, error) {
			if data, ok := files[name]; ok {
				return []byte(data), nil
			}
			return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
		},
		Home: "/home/me",
	}
}

const (
	credentialsFile = `
# mine
[default]
aws_access_key_id = AKIDDEFAULT
aws_secret_access_key = default/secret ; not part of it
[work]
aws_access_key_id=AKIDWORK
aws_secret_access_key=work=secret
aws_session_token=session
[half]
aws_access_key_id = AKIDHALF
`
	configFile = `
[default]
region = eu-central-1
s3 =
  max_concurrent_requests = 20
[profile work]
region = us-west-2
endpoint_url = https://ec2.example
ca_bundle = /etc/ca.pem
[profile login]
sso_session = corp
`
)

func TestFromEnv(t *testing.T) {
	files := map[string]string{
		"/home/me/.aws/credentials": credentialsFile, "/home/me/.aws/config": configFile,
		"/etc/ca.pem": "PEM", "/else/credentials": "[default]\naws_access_key_id=AKIDELSE\naws_secret_access_key=else\n", "/bad": "[open\n",
	}
	keys := map[string]string{"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "env/secret"}
	with := func(more ...string) map[string]string {
		out := map[string]string{}
		for k, v := range keys {
			out[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	for _, test := range []struct {
		name     string
		env      map[string]string
		noFiles  bool
		settings map[string]string
		secrets  string
		ca       string
		err      string
	}{
		{name: "environment", env: with("AWS_REGION", "us-east-2"), noFiles: true, settings: map[string]string{"region": "us-east-2"}, secrets: "AKIDENV env/secret "},
		{name: "environment wins over profile", env: with("AWS_PROFILE", "work", "AWS_REGION", "us-east-2"),
			settings: map[string]string{"region": "us-east-2", "endpoint": "https://ec2.example"}, secrets: "AKIDENV env/secret ", ca: "PEM"},
		{name: "endpoints", env: with("AWS_DEFAULT_REGION", "us-east-1", "AWS_ENDPOINT_URL", "https://a", "AWS_ENDPOINT_URL_EC2", "https://b",
			"AWS_ENDPOINT_URL_STS", "https://c", "AWS_CA_BUNDLE", "/etc/ca.pem"), noFiles: false, ca: "PEM", secrets: "AKIDENV env/secret ",
			settings: map[string]string{"region": "us-east-1", "endpoint": "https://a", "endpoint-ec2": "https://b", "endpoint-sts": "https://c"}},
		{name: "default profile", settings: map[string]string{"region": "eu-central-1"}, secrets: "AKIDDEFAULT default/secret "},
		{name: "named profile", env: map[string]string{"AWS_PROFILE": "work"}, ca: "PEM",
			settings: map[string]string{"region": "us-west-2", "endpoint": "https://ec2.example"}, secrets: "AKIDWORK work=secret session"},
		{name: "other file", env: map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "/else/credentials"},
			settings: map[string]string{"region": "eu-central-1"}, secrets: "AKIDELSE else "},
		{name: "nothing", noFiles: true, err: "no credentials: set AWS_ACCESS_KEY_ID"},
		{name: "half an environment", env: map[string]string{"AWS_ACCESS_KEY_ID": "x"}, err: "belong together"},
		{name: "half a profile", env: map[string]string{"AWS_PROFILE": "half"}, err: `put aws_access_key_id and aws_secret_access_key into profile "half"`},
		{name: "no such profile", env: map[string]string{"AWS_PROFILE": "nobody"}, err: `there is no profile "nobody"`},
		{name: "single sign-on", env: map[string]string{"AWS_PROFILE": "login"}, err: `profile "login" gets its credentials by sso_session`},
		{name: "bad file", env: map[string]string{"AWS_CONFIG_FILE": "/bad"}, err: "read /bad: line 1"},
		{name: "no bundle", env: with("AWS_CA_BUNDLE", "/nowhere"), err: "read the CA bundle"},
	} {
		t.Run(test.name, func(t *testing.T) {
			have := files
			if test.noFiles {
				have = nil
			}
			env := map[string]string{"SKYWELD_PROXY": "socks5://127.0.0.1:1"}
			for k, v := range test.env {
				env[k] = v
			}
			a, err := FromEnv(source(env, have))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || cloud.ClassOf(err) != cloud.Invalid {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.settings, a.Settings); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			secrets := a.Secrets[SecretAccessKeyID].Reveal() + " " + a.Secrets[SecretAccessKey].Reveal() + " " + a.Secrets[SecretSessionToken].Reveal()
			if secrets != test.secrets {
				t.Errorf("secrets %q, want %q", secrets, test.secrets)
			}
			if a.CA != test.ca || a.Proxy != "socks5://127.0.0.1:1" || a.Provider != cloud.AWS {
				t.Errorf("ca %q, proxy %q, provider %q", a.CA, a.Proxy, a.Provider)
			}
		})
	}
}

func FuzzParseINI(f *testing.F) {
	for _, seed := range []string{credentialsFile, configFile, "[a]\nk=v", "[", "=", "[a]\nk", "[a]\r\nk = v # c\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sections, err := parseINI(data)
		if err != nil {
			return
		}
		for name, s := range sections {
			for k, v := range s {
				if strings.ContainsAny(name+k+v, "\n") {
					t.Errorf("section %q: %q = %q spans lines", name, k, v)
				}
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	good := func() cloud.Account {
		return cloud.Account{Name: "mine", Secrets: map[string]cloud.Secret{SecretAccessKeyID: "id", SecretAccessKey: "top-secret"}}
	}
	for name, spoil := range map[string]func(*cloud.Account){
		"no key":  func(a *cloud.Account) { delete(a.Secrets, SecretAccessKey) },
		"bad PEM": func(a *cloud.Account) { a.CA = "nonsense" },
	} {
		a := good()
		spoil(&a)
		_, err := New(t.Context(), a, nil)
		if cloud.ClassOf(err) != cloud.Invalid || strings.Contains(err.Error(), "top-secret") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := New(t.Context(), good(), nil); err != nil {
		t.Error(err)
	}
}
