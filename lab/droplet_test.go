//go:build linux

package lab

import (
	"context"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/crypto/ssh"
	"golang.org/x/net/proxy"
	"golang.org/x/oauth2"

	"github.com/skyweld/skyweld/lab/machine"
)

// TestMain is a machine's first process where the lab starts this program as one.
func TestMain(m *testing.M) {
	machine.Main()
	os.Exit(m.Run())
}

// account is DigitalOcean's official client at a lab.
func account(t *testing.T, l *Lab) *godo.Client {
	t.Helper()
	env := envOf(l)
	over := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: trusting(t, l)})
	c, err := godo.New(oauth2.NewClient(over, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: env["DIGITALOCEAN_TOKEN"]})), godo.SetBaseURL(env["DIGITALOCEAN_API_URL"]+"/"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDroplets boots two Droplets, and looks at them from outside and from within: the public address is the machine's
// own, a reserved one arrives beside it, the private one leads to the other, and the metadata service knows who asks.
func TestDroplets(t *testing.T) {
	l := startLab(t, nil)
	c := account(t, l)
	config, authorized := rootLogin(t)
	key, _, err := c.Keys.Create(t.Context(), &godo.KeyCreateRequest{Name: "test", PublicKey: authorized})
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := c.VPCs.Create(t.Context(), &godo.VPCCreateRequest{Name: "test", RegionSlug: "nyc3", IPRange: "10.64.0.0/20"})
	if err != nil {
		t.Fatal(err)
	}
	made, _, err := c.Droplets.CreateMultiple(t.Context(), &godo.DropletMultiCreateRequest{Names: []string{"a", "b"}, Region: "nyc3", Size: "s-1vcpu-1gb",
		Image: godo.DropletCreateImage{Slug: "ubuntu-24-04-x64"}, SSHKeys: []godo.DropletCreateSSHKey{{ID: key.ID}}, VPCUUID: v.ID, Tags: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	var public, inner [2]string
	for i, d := range made {
		for end := time.Now().Add(time.Minute); d.Status != "active"; time.Sleep(50 * time.Millisecond) {
			got, _, err := c.Droplets.Get(t.Context(), d.ID)
			if err != nil || time.Now().After(end) {
				t.Fatalf("Droplet %s is %s: %v", d.Name, d.Status, err)
			}
			d = *got
		}
		public[i], _ = d.PublicIPv4()
		inner[i], _ = d.PrivateIPv4()
	}
	ip, _, err := c.ReservedIPs.Create(t.Context(), &godo.ReservedIPCreateRequest{DropletID: made[0].ID})
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{public[0]: "a", public[1]: "b", ip.IP: "a"} {
		if got := run(t, l, config, at, "hostname"); got != want {
			t.Errorf("at %s: host %q; want %s", at, got, want)
		}
	}
	for command, want := range map[string]string{
		"ip -4 -o addr show dev eth0": public[0] + "/24", "ip -4 -o addr show dev eth0 ": "10.17.0.5/16", "ip -4 -o addr show dev eth1": inner[0] + "/20",
		"ip route show default": "dev eth0",
		"timeout 5 bash -c 'head -c7 </dev/tcp/" + inner[1] + "/22'":  "SSH-2.0",
		"timeout 5 bash -c 'head -c7 </dev/tcp/" + public[1] + "/22'": "SSH-2.0",
		"cat /var/lib/cloud/data/instance-id":                         strconv.Itoa(made[0].ID),
	} {
		if got := run(t, l, config, public[0], command); !strings.Contains(got, want) {
			t.Errorf("%s: %q; want %q", command, got, want)
		}
	}
}

// run logs in to a machine from the lab's home, as soon as that is possible, and runs a command.
func run(t *testing.T, l *Lab, config *ssh.ClientConfig, at, command string) string {
	t.Helper()
	socks, err := proxy.SOCKS5("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Info().ProxyPort)), nil, proxy.Direct)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		out, err := runOnce(socks, config, net.JoinHostPort(at, "22"), command)
		if err == nil {
			return strings.TrimSpace(out)
		}
		if time.Now().After(end) {
			t.Fatalf("%s at %s: %v: %s", command, at, err, out)
		}
	}
}

func runOnce(socks proxy.Dialer, config *ssh.ClientConfig, at, command string) (string, error) {
	line, err := socks.Dial("tcp", at)
	if err != nil {
		return "", err
	}
	defer line.Close()
	if err := line.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return "", err
	}
	conn, channels, requests, err := ssh.NewClientConn(line, at, config)
	if err != nil {
		return "", err
	}
	client := ssh.NewClient(conn, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	out, err := session.CombinedOutput(command)
	return string(out), err
}
