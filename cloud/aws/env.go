package aws

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// FromEnv makes an account of what the usual tools of AWS read: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// AWS_SESSION_TOKEN, else the profile that AWS_PROFILE names (or "default") in the shared credentials and config files;
// AWS_REGION or AWS_DEFAULT_REGION; AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL_STS and
// AWS_ENDPOINT_URL_SERVICE_QUOTAS; AWS_CA_BUNDLE.
// SKYWELD_PROXY becomes the account's proxy. Only static keys can be taken: the account is used long after the
// environment is gone.
func FromEnv(src cloud.Source) (cloud.Account, error) {
	a, err := fromEnv(src)
	if err != nil {
		return cloud.Account{}, &cloud.Error{Class: cloud.Invalid, Op: "read the AWS environment", Err: err}
	}
	return a, nil
}

func fromEnv(src cloud.Source) (cloud.Account, error) {
	a := cloud.Account{
		Provider: cloud.AWS, Settings: map[string]string{}, Secrets: map[string]cloud.Secret{}, Proxy: src.Getenv("SKYWELD_PROXY"),
	}
	name, named := "default", false
	for _, v := range []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
		if p := src.Getenv(v); p != "" {
			name, named = p, true
			break
		}
	}
	prof, found, err := readProfile(src, name)
	if err != nil {
		return a, err
	}
	if named && !found {
		return a, fmt.Errorf("there is no profile %q in the shared credentials and config files", name)
	}
	if err := takeKeys(&a, src, prof, name); err != nil {
		return a, err
	}
	for setting, from := range map[string][2]string{
		SettingRegion:         {firstSet(src, "AWS_REGION", "AWS_DEFAULT_REGION"), prof["region"]},
		SettingEndpoint:       {src.Getenv("AWS_ENDPOINT_URL"), prof["endpoint_url"]},
		SettingEndpointEC2:    {src.Getenv("AWS_ENDPOINT_URL_EC2")},
		SettingEndpointSTS:    {src.Getenv("AWS_ENDPOINT_URL_STS")},
		SettingEndpointQuotas: {src.Getenv("AWS_ENDPOINT_URL_SERVICE_QUOTAS")},
	} {
		for _, v := range from {
			if v != "" {
				a.Settings[setting] = v
				break
			}
		}
	}
	bundle := src.Getenv("AWS_CA_BUNDLE")
	if bundle == "" {
		bundle = prof["ca_bundle"]
	}
	if bundle != "" {
		pem, err := src.ReadFile(bundle)
		if err != nil {
			return a, fmt.Errorf("read the CA bundle: %w", err)
		}
		a.CA = string(pem)
	}
	return a, nil
}

func firstSet(src cloud.Source, names ...string) string {
	for _, n := range names {
		if v := src.Getenv(n); v != "" {
			return v
		}
	}
	return ""
}

func takeKeys(a *cloud.Account, src cloud.Source, prof map[string]string, name string) error {
	id, secret, session := src.Getenv("AWS_ACCESS_KEY_ID"), src.Getenv("AWS_SECRET_ACCESS_KEY"), src.Getenv("AWS_SESSION_TOKEN")
	switch {
	case id != "" && secret != "": // these win over a profile, as with the official tools
	case id != "" || secret != "":
		return errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: only one is set")
	case prof["aws_access_key_id"] != "" && prof["aws_secret_access_key"] != "":
		id, secret, session = prof["aws_access_key_id"], prof["aws_secret_access_key"], prof["aws_session_token"]
	default:
		return noKeys(prof, name)
	}
	a.Secrets[SecretAccessKeyID], a.Secrets[SecretAccessKey] = cloud.Secret(id), cloud.Secret(secret)
	if session != "" {
		a.Secrets[SecretSessionToken] = cloud.Secret(session)
	}
	return nil
}

// noKeys says why there are no keys to take.
func noKeys(prof map[string]string, name string) error {
	for _, key := range []string{"credential_process", "role_arn", "sso_session", "sso_start_url", "web_identity_token_file", "credential_source", "login_session"} {
		if prof[key] != "" {
			return fmt.Errorf("profile %q gets its credentials by %s; Skyweld needs a static access key (aws_access_key_id and "+
				"aws_secret_access_key), as it works when nobody is logged in", name, key)
		}
	}
	return fmt.Errorf("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put aws_access_key_id and "+
		"aws_secret_access_key into profile %q of ~/.aws/credentials", name)
}

// readProfile joins what the two files say of a profile; the credentials file wins. It is no error that there is no file.
func readProfile(src cloud.Source, name string) (prof map[string]string, found bool, err error) {
	prof = map[string]string{}
	section := "profile " + name
	if name == "default" {
		section = "default"
	}
	for _, f := range []struct{ env, file, section string }{
		{"AWS_CONFIG_FILE", "config", section},
		{"AWS_SHARED_CREDENTIALS_FILE", "credentials", name},
	} {
		path := src.Getenv(f.env)
		if path == "" {
			path = filepath.Join(src.Home, ".aws", f.file)
		}
		data, err := src.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, false, fmt.Errorf("read %s: %w", path, err)
		}
		sections, err := parseINI(data)
		if err != nil {
			return nil, false, fmt.Errorf("read %s: %w", path, err)
		}
		if s, ok := sections[f.section]; ok {
			found = true
			for k, v := range s {
				prof[k] = v
			}
		}
	}
	return prof, found, nil
}

// parseINI reads the format of the shared files: sections in brackets, key = value, comments from '#' or ';' at the
// beginning of a line or after white space. Indented lines belong to nested settings, which are left out.
func parseINI(data []byte) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	var section map[string]string
	sc := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimRight(sc.Text(), " \t\r")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			name, _, ok := strings.Cut(line[1:], "]")
			if !ok {
				return nil, fmt.Errorf("line %d: the section's bracket isn't closed", n)
			}
			name = strings.Join(strings.Fields(name), " ")
			if out[name] == nil {
				out[name] = map[string]string{}
			}
			section = out[name]
		case line[0] == ' ' || line[0] == '\t':
		case section == nil:
			return nil, fmt.Errorf("line %d: a setting before the first section", n)
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok {
				return nil, fmt.Errorf("line %d: neither a section nor key = value", n)
			}
			section[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(withoutComment(value))
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("too long a line: %w", err)
	}
	return out, nil
}

func withoutComment(value string) string {
	for i := 1; i < len(value); i++ {
		if (value[i] == '#' || value[i] == ';') && (value[i-1] == ' ' || value[i-1] == '\t') {
			return value[:i]
		}
	}
	return value
}
