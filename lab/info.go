package lab

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/gce"
	"github.com/skyweld/skyweld/lab/world"
)

// The files in a lab's folder that others read.
const (
	infoFile  = "lab.json"
	caFile    = "ca.pem"
	keyFile   = "google-key.json"
	tokenFile = "google-token"
)

// Info says how to reach a lab. Credentials and ports are kept from one start to the next, so that what was told about a
// lab stays true.
type Info struct {
	Name    string    `json:"name"`
	PID     int       `json:"pid"` // 0 while it is stopped
	Profile string    `json:"profile"`
	Started time.Time `json:"started"`

	AWSPort          int `json:"awsPort"`
	GCPPort          int `json:"gcpPort"`
	AzurePort        int `json:"azurePort"`
	DigitalOceanPort int `json:"digitalOceanPort"`
	ProxyPort        int `json:"proxyPort"`

	AWSAccount string `json:"awsAccount"`
	AWSKey     string `json:"awsKey"`
	AWSSecret  string `json:"awsSecret"`

	GCPProject string `json:"gcpProject"`
	GCPNumber  uint64 `json:"gcpNumber"`
	GCPToken   string `json:"gcpToken"`

	AzureSubscription string `json:"azureSubscription"`
	AzureTenant       string `json:"azureTenant"`
	AzureClient       string `json:"azureClient"`
	AzureSecret       string `json:"azureSecret"`

	DigitalOceanToken string `json:"digitalOceanToken"`

	BundleURL    string `json:"bundleURL,omitempty"`
	BundleSHA256 string `json:"bundleSHA256,omitempty"`
}

func loadInfo(dir string) (Info, error) {
	i := Info{
		AWSAccount: "100000000001", GCPProject: "skyweld-lab", GCPNumber: 100000000001,
		AzureSubscription: "10000000-0000-4000-8000-000000000001", AzureTenant: "10000000-0000-4000-8000-000000000002", AzureClient: "10000000-0000-4000-8000-000000000003",
	}
	return i, world.LoadRecord(filepath.Join(dir, infoFile), &i)
}

func (i Info) save(dir string) error { return world.SaveRecord(filepath.Join(dir, infoFile), i) }

// port is where a cloud is served.
func (i *Info) port(cloud string) *int {
	switch cloud {
	case "aws":
		return &i.AWSPort
	case "gcp":
		return &i.GCPPort
	case "azure":
		return &i.AzurePort
	}
	return &i.DigitalOceanPort
}

// credentials makes the account's keys at the first start.
func (i *Info) credentials(dir string) error {
	if i.AWSKey == "" {
		b := make([]byte, 60)
		if _, err := rand.Read(b); err != nil {
			return fmt.Errorf("make the lab's credentials: %w", err)
		}
		i.AWSKey = "AKIA" + base32.StdEncoding.EncodeToString(b[:10])
		i.AWSSecret = hex.EncodeToString(b[10:30])
		i.GCPToken = "ya29.lab-" + hex.EncodeToString(b[30:60])
	}
	if i.AzureSecret == "" {
		b := make([]byte, 30)
		if _, err := rand.Read(b); err != nil {
			return fmt.Errorf("make the lab's credentials: %w", err)
		}
		i.AzureSecret = "lab8Q~" + hex.EncodeToString(b)
	}
	if i.DigitalOceanToken == "" {
		b := make([]byte, 32)
		if _, err := rand.Read(b); err != nil {
			return fmt.Errorf("make the lab's credentials: %w", err)
		}
		i.DigitalOceanToken = "dop_v1_" + hex.EncodeToString(b)
	}
	if err := os.WriteFile(filepath.Join(dir, tokenFile), []byte(i.GCPToken), 0o600); err != nil {
		return fmt.Errorf("the lab's token: %w", err)
	}
	if err := i.azCLI(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, keyFile)
	if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), i.gcpURL()) {
		return nil
	}
	key, err := gce.NewServiceAccountKey(i.GCPProject, i.gcpURL()+"/token")
	if err != nil {
		return fmt.Errorf("the lab's service account key: %w", err)
	}
	return os.WriteFile(path, key, 0o600)
}

func (i Info) awsURL() string { return "https://127.0.0.1:" + strconv.Itoa(i.AWSPort) }
func (i Info) gcpURL() string { return "https://127.0.0.1:" + strconv.Itoa(i.GCPPort) }

func (i Info) azureURL() string { return "https://127.0.0.1:" + strconv.Itoa(i.AzurePort) }

func (i Info) digitalOceanURL() string {
	return "https://127.0.0.1:" + strconv.Itoa(i.DigitalOceanPort)
}

// Env is what points the clouds' own tools, and Skyweld, at a lab: names and values, in order.
func (i Info) Env(dir string) [][2]string {
	ca := filepath.Join(dir, caFile)
	return [][2]string{
		{"AWS_ENDPOINT_URL", i.awsURL()},
		{"AWS_CA_BUNDLE", ca},
		{"AWS_ACCESS_KEY_ID", i.AWSKey},
		{"AWS_SECRET_ACCESS_KEY", i.AWSSecret},
		{"AWS_REGION", "us-east-1"},
		{"AWS_DEFAULT_REGION", "us-east-1"},
		{"AWS_EC2_METADATA_DISABLED", "true"},
		{"AWS_PAGER", ""},
		{"GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(dir, keyFile)},
		{"GOOGLE_CLOUD_PROJECT", i.GCPProject},
		{"CLOUDSDK_CORE_PROJECT", i.GCPProject},
		{"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", i.gcpURL() + "/compute/v1/"},
		{"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", filepath.Join(dir, tokenFile)},
		{"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", ca},
		{"CLOUDSDK_CORE_DISABLE_PROMPTS", "1"},
		{"CLOUDSDK_CONFIG", filepath.Join(dir, "gcloud")},
		{"AZURE_SUBSCRIPTION_ID", i.AzureSubscription},
		{"AZURE_TENANT_ID", i.AzureTenant},
		{"AZURE_CLIENT_ID", i.AzureClient},
		{"AZURE_CLIENT_SECRET", i.AzureSecret},
		{"AZURE_AUTHORITY_HOST", i.azureURL()},
		{"AZURE_RESOURCE_MANAGER_ENDPOINT", i.azureURL()},
		{"AZURE_RESOURCE_MANAGER_AUDIENCE", i.azureURL()},
		{"AZURE_DISABLE_INSTANCE_DISCOVERY", "true"},
		{"AZURE_CONFIG_DIR", filepath.Join(dir, azFolder)},
		{"REQUESTS_CA_BUNDLE", ca},
		{"NODE_EXTRA_CA_CERTS", ca},
		{"DIGITALOCEAN_TOKEN", i.DigitalOceanToken},
		{"DIGITALOCEAN_ACCESS_TOKEN", i.DigitalOceanToken}, // doctl's name of it
		{"DIGITALOCEAN_API_URL", i.digitalOceanURL()},
		{"SKYWELD_DIGITALOCEAN_CA", ca},
		{"NO_PROXY", "127.0.0.1,localhost"},
		{"SKYWELD_PROXY", "socks5://127.0.0.1:" + strconv.Itoa(i.ProxyPort)},
		{"SKYWELD_EGRESS", egressAddress},
		{"SKYWELD_BUNDLE", i.BundleURL},
		{"SKYWELD_BUNDLE_SHA256", i.BundleSHA256},
	}
}

// Read returns what is known of the lab in a folder; the error wraps fs.ErrNotExist when there never was one. PID is 0
// when it doesn't run.
func Read(dir string) (Info, error) {
	if _, err := os.Stat(filepath.Join(dir, infoFile)); err != nil {
		return Info{}, err
	}
	i, err := loadInfo(dir)
	if err == nil && !running(dir) {
		i.PID = 0
	}
	return i, err
}

// lockFolder makes sure that one lab at a time lives in a folder. The lock ends with the process.
func lockFolder(dir string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the lab's folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("a lab is running in %s already: stop it with 'skyweld lab stop --dir %s', or name another folder", dir, dir)
	}
	return func() { f.Close() }, nil
}

// running says whether a lab holds the folder's lock.
func running(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		return true
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
}

// listenAgain listens on loopback, on the port of last time where it is free.
func listenAgain(last int) (net.Listener, error) {
	if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(last)); err == nil {
		return l, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the lab needs a port on loopback: %w", err)
	}
	return l, nil
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
