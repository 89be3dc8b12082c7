package cloudinit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/lab/machine/cloudconfig"
)

const (
	// metadataAddress is where every cloud has its metadata service.
	metadataAddress = "169.254.169.254:80"
	// fetchTime is how long the service may take to come up.
	fetchTime = 60 * time.Second
	// bodyLimit is the most that one answer may have, in bytes.
	bodyLimit = 1 << 20
)

// metadata is what the cloud says of the machine.
type metadata struct {
	// Source is the data source's name in cloud-init.
	Source     string
	InstanceID string
	Hostname   string
	// Keys are SSH public keys for the default user, UserKeys those for other accounts by name.
	Keys     []string
	UserKeys map[string][]string
	UserData []byte
	// KeepRoot says that the cloud's own data for its images lets root in with the default user's keys.
	KeepRoot bool
}

// errAbsent says that the service has no such thing, which is an answer.
var errAbsent = errors.New("is not there")

// service asks a metadata service. Requests always go to its address; names are only in the Host header, so that booting
// needs no resolver.
type service struct {
	address string
	client  *http.Client
	base    string
	header  http.Header
}

func newService(address, host string) *service {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	return &service{
		address: address, base: "http://" + host, header: http.Header{},
		client: &http.Client{
			Timeout: 5 * time.Second,
			Transport: &http.Transport{
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return dialer.DialContext(ctx, network, address)
				},
				DisableKeepAlives: true,
			},
		},
	}
}

// ask makes one request, again with growing pauses until it gets an answer or ctx ends.
func (s *service) ask(ctx context.Context, method, path string) (string, error) {
	pause := 20 * time.Millisecond
	for {
		body, err := s.once(ctx, method, path)
		if err == nil || errors.Is(err, errAbsent) {
			return body, err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("metadata service: %s %s: %w", method, path, err)
		case <-time.After(pause):
			pause = min(2*pause, 2*time.Second)
		}
	}
}

func (s *service) once(ctx context.Context, method, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, nil)
	if err != nil {
		return "", err
	}
	req.Header = s.header.Clone()
	resp, err := s.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit+1))
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return "", fmt.Errorf("metadata service: %s %w", path, errAbsent)
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("the answer is %s", resp.Status)
	case err != nil:
		return "", err
	case len(body) > bodyLimit:
		return "", fmt.Errorf("the answer has more than %d bytes", bodyLimit)
	}
	return string(body), nil
}

// optional is ask for what need not be there.
func (s *service) optional(ctx context.Context, path string) (string, error) {
	body, err := s.ask(ctx, http.MethodGet, path)
	if errors.Is(err, errAbsent) {
		return "", nil
	}
	return body, err
}

// fetch reads metadata and user data in the dialect of the data source.
func fetch(ctx context.Context, datasource, address string) (metadata, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	switch datasource {
	case "Ec2":
		return fetchEC2(ctx, newService(address, "169.254.169.254"))
	case "GCE":
		return fetchGCE(ctx, newService(address, "metadata.google.internal"))
	case "Azure":
		return fetchAzure(ctx, newService(address, "169.254.169.254"))
	case "DigitalOcean":
		return fetchDigitalOcean(ctx, newService(address, "169.254.169.254"))
	}
	return metadata{}, fmt.Errorf("no data source is called %q", datasource)
}

// fetchEC2 speaks version 2 of EC2's instance metadata service
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html).
func fetchEC2(ctx context.Context, s *service) (metadata, error) {
	m := metadata{Source: "DataSourceEc2Local"}
	s.header.Set("X-aws-ec2-metadata-token-ttl-seconds", "21600")
	token, err := s.ask(ctx, http.MethodPut, "/latest/api/token")
	if err != nil {
		return m, err
	}
	s.header = http.Header{"X-Aws-Ec2-Metadata-Token": {strings.TrimSpace(token)}}
	if m.InstanceID, err = s.ask(ctx, http.MethodGet, "/latest/meta-data/instance-id"); err != nil {
		return m, err
	}
	for _, name := range []string{"local-hostname", "hostname"} {
		if m.Hostname, err = s.optional(ctx, "/latest/meta-data/"+name); err != nil {
			return m, err
		}
		if m.Hostname != "" {
			break
		}
	}
	// A list of "0=name" lines; each key is one level further down.
	list, err := s.optional(ctx, "/latest/meta-data/public-keys/")
	if err != nil {
		return m, err
	}
	for line := range strings.FieldsSeq(list) {
		index, _, _ := strings.Cut(line, "=")
		key, err := s.optional(ctx, "/latest/meta-data/public-keys/"+index+"/openssh-key")
		if err != nil {
			return m, err
		}
		m.Keys = appendKeys(m.Keys, key)
	}
	userData, err := s.optional(ctx, "/latest/user-data")
	m.UserData = []byte(userData)
	return m, err
}

func appendKeys(keys []string, text string) []string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			keys = append(keys, line)
		}
	}
	return keys
}

// fetchGCE speaks Compute Engine's metadata service
// (https://cloud.google.com/compute/docs/metadata/querying-metadata). User data is in the attribute user-data, as
// cloud-init has it; SSH keys are lines of "account:key" in ssh-keys of the instance and, unless those are blocked, of the
// project.
func fetchGCE(ctx context.Context, s *service) (metadata, error) {
	m := metadata{Source: "DataSourceGCELocal", UserKeys: map[string][]string{}}
	s.header.Set("Metadata-Flavor", "Google")
	const root = "/computeMetadata/v1/"
	var err error
	if m.InstanceID, err = s.ask(ctx, http.MethodGet, root+"instance/id"); err != nil {
		return m, err
	}
	if m.Hostname, err = s.optional(ctx, root+"instance/hostname"); err != nil {
		return m, err
	}
	var instance, project map[string]string
	for path, into := range map[string]*map[string]string{"instance": &instance, "project": &project} {
		text, err := s.optional(ctx, root+path+"/attributes/?recursive=true")
		if err != nil {
			return m, err
		}
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), into); err != nil {
			return m, fmt.Errorf("metadata service: the %s's attributes are no object of texts", path)
		}
	}
	m.addGoogleKeys(instance["ssh-keys"])
	if !strings.EqualFold(instance["block-project-ssh-keys"], "true") {
		m.addGoogleKeys(project["ssh-keys"])
	}
	m.UserData = []byte(instance["user-data"])
	if instance["user-data-encoding"] == "base64" {
		if m.UserData, err = base64.StdEncoding.DecodeString(instance["user-data"]); err != nil {
			return m, errors.New("metadata service: the user data is not base64, as user-data-encoding says it is")
		}
	}
	return m, nil
}

func (m *metadata) addGoogleKeys(text string) {
	for _, line := range appendKeys(nil, text) {
		account, key, ok := strings.Cut(line, ":")
		switch {
		case !ok || strings.ContainsAny(account, " /"):
		case account == defaultUser || account == "cloudinit":
			m.Keys = append(m.Keys, key)
		case !slices.Contains(m.UserKeys[account], key):
			m.UserKeys[account] = append(m.UserKeys[account], key)
		}
	}
}

// fetchDigitalOcean reads the one document that DigitalOcean's metadata service has
// (https://docs.digitalocean.com/reference/api/metadata/).
func fetchDigitalOcean(ctx context.Context, s *service) (metadata, error) {
	m := metadata{Source: "DataSourceDigitalOcean"}
	text, err := s.ask(ctx, http.MethodGet, "/metadata/v1.json")
	if err != nil {
		return m, err
	}
	var doc struct {
		ID       json.Number `json:"droplet_id"`
		Hostname string      `json:"hostname"`
		Keys     []string    `json:"public_keys"`
		UserData string      `json:"user_data"`
		Vendor   string      `json:"vendor_data"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.ID == "" {
		return m, errors.New("metadata service: /metadata/v1.json is no description of a Droplet")
	}
	m.InstanceID, m.Hostname, m.UserData = doc.ID.String(), doc.Hostname, []byte(doc.UserData)
	for _, k := range doc.Keys {
		m.Keys = appendKeys(m.Keys, k)
	}
	if doc.Vendor != "" {
		vendor, err := cloudconfig.Parse([]byte(doc.Vendor))
		if err != nil {
			return m, fmt.Errorf("metadata service: the vendor data: %w", err)
		}
		m.KeepRoot = vendor.KeepRoot
	}
	return m, nil
}
