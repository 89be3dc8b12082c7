package gcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/skyweld/skyweld/cloud"
)

// FromEnv makes an account of what Google's tools read: the credential file that GOOGLE_APPLICATION_CREDENTIALS names,
// else application_default_credentials.json in gcloud's folder (CLOUDSDK_CONFIG or ~/.config/gcloud); the project from
// GOOGLE_CLOUD_PROJECT, CLOUDSDK_CORE_PROJECT, or the file's project_id or quota_project_id;
// CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE; the PEM file CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE. SKYWELD_PROXY becomes the
// account's proxy and SKYWELD_EGRESS its setting of that name. The file's content is taken, as the account is used long
// after the environment is gone.
func FromEnv(src cloud.Source) (cloud.Account, error) {
	a, err := fromEnv(src)
	if err != nil {
		return cloud.Account{}, &cloud.Error{Class: cloud.Invalid, Op: "read the Google Cloud environment", Err: err}
	}
	return a, nil
}

func fromEnv(src cloud.Source) (cloud.Account, error) {
	a := cloud.Account{
		Provider: cloud.GCP, Settings: map[string]string{}, Secrets: map[string]cloud.Secret{}, Proxy: src.Getenv("SKYWELD_PROXY"),
	}
	data, path, err := readCredentials(src)
	if err != nil {
		return a, err
	}
	creds, err := parseCredentials(data)
	if err != nil {
		return a, fmt.Errorf("%s: %w", path, err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return a, fmt.Errorf("%s: the credentials are not JSON", path)
	}
	a.Secrets[SecretCredentials] = cloud.Secret(compact.String())
	project := firstSet(src, "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT")
	if project == "" {
		project = creds.project()
	}
	if project == "" {
		return a, fmt.Errorf("no project: set GOOGLE_CLOUD_PROJECT, as %s names none", path)
	}
	if !projectPattern.MatchString(project) {
		return a, fmt.Errorf("project %q: want a project's id", project)
	}
	a.Settings[SettingProject] = project
	if v := src.Getenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"); v != "" {
		if a.Settings[SettingEndpoint], err = endpointOf(v, ""); err != nil {
			return a, err
		}
	}
	if v := src.Getenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER"); v != "" {
		a.Settings[SettingEndpointManager] = v
	}
	if v := src.Getenv("SKYWELD_EGRESS"); v != "" {
		a.Settings[SettingEgress] = v
	}
	if path := src.Getenv("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"); path != "" {
		pem, err := src.ReadFile(path)
		if err != nil {
			return a, fmt.Errorf("read the CA certificates: %w", err)
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

func readCredentials(src cloud.Source) (data []byte, path string, err error) {
	path = src.Getenv("GOOGLE_APPLICATION_CREDENTIALS")
	if path != "" {
		if data, err = src.ReadFile(path); err != nil {
			return nil, path, fmt.Errorf("read the file that GOOGLE_APPLICATION_CREDENTIALS names: %w", err)
		}
		return data, path, nil
	}
	folder := src.Getenv("CLOUDSDK_CONFIG")
	if folder == "" {
		folder = filepath.Join(src.Home, ".config", "gcloud")
	}
	path = filepath.Join(folder, "application_default_credentials.json")
	data, err = src.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, path, fmt.Errorf("no credentials: set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file, or run "+
			"'gcloud auth application-default login', which writes %s", path)
	}
	if err != nil {
		return nil, path, fmt.Errorf("read the default credentials: %w", err)
	}
	return data, path, nil
}
