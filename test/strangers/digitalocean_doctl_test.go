package strangers_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/lab/digitalocean"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

// TestDoctl has DigitalOcean's own command line make, find and remove what a cluster is made of in the lab, in the wrong
// order too, and sees nothing of it afterwards.
func TestDoctl(t *testing.T) {
	t.Parallel()
	c := doctl{t: t, path: program(t, "doctl", "https://docs.digitalocean.com/reference/doctl/how-to/install/")}
	service, err := digitalocean.New(digitalocean.Config{Physical: paper.New(), Dir: t.TempDir(), Token: "dop_v1_test", Profile: world.Instant, Pools: paper.Pools()})
	if err != nil {
		t.Fatal(err)
	}
	lab := httptest.NewTLSServer(service)
	t.Cleanup(func() {
		lab.Close()
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: lab.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	c.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "SSL_CERT_FILE=" + ca,
		"DIGITALOCEAN_ACCESS_TOKEN=dop_v1_test", "DIGITALOCEAN_API_URL=" + lab.URL, "NO_PROXY=127.0.0.1",
	}
	before := c.all()
	c.life()
	if after := c.all(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	t.Logf("%d command lines", c.lines)
}

// doctl is the command line with its environment.
type doctl struct {
	t     *testing.T
	path  string
	env   []string
	lines int
}

func (c *doctl) run(args ...string) (stdout []byte, err error) {
	c.lines++
	cmd := exec.Command(c.path, append(args, "--output", "json")...)
	var out, said bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("doctl %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), said.String())
	}
	return out.Bytes(), nil
}

// do runs a command that must succeed.
func (c *doctl) do(args ...string) []byte {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// refused runs one that must fail with a text.
func (c *doctl) refused(text string, args ...string) {
	c.t.Helper()
	if _, err := c.run(args...); err == nil || !strings.Contains(err.Error(), text) {
		c.t.Errorf("doctl %s: %v; want %q", strings.Join(args, " "), err, text)
	}
}

// thing is what the tests read of the lists that doctl prints.
type thing struct {
	ID       json.RawMessage `json:"id"` // a number or a text
	Name     string          `json:"name"`
	IP       string          `json:"ip"`
	IPRange  string          `json:"ip_range"`
	Status   string          `json:"status"`
	VPC      string          `json:"vpc_uuid"`
	Default  bool            `json:"default"`
	Droplet  *thing          `json:"droplet"`
	Resource struct {
		Count int `json:"count"`
	} `json:"resources"`
}

func (x thing) id() string { return strings.Trim(string(x.ID), `"`) }

// list runs a command that prints a list.
func (c *doctl) list(args ...string) []thing {
	c.t.Helper()
	var all []thing
	if out := c.do(args...); len(bytes.TrimSpace(out)) > 0 {
		if err := json.Unmarshal(out, &all); err != nil {
			c.t.Fatalf("doctl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return all
}

// one runs a command that prints a list of one.
func (c *doctl) one(args ...string) thing {
	c.t.Helper()
	all := c.list(args...)
	if len(all) != 1 {
		c.t.Fatalf("doctl %s: %d things", strings.Join(args, " "), len(all))
	}
	return all[0]
}

// all is everything that the account has of what a cluster is made of.
func (c *doctl) all() string {
	c.t.Helper()
	var b strings.Builder
	for _, what := range [][]string{
		{"vpcs", "list"}, {"compute", "droplet", "list"}, {"compute", "firewall", "list"}, {"compute", "tag", "list"},
		{"compute", "reserved-ip", "list"}, {"compute", "volume", "list"}, {"compute", "ssh-key", "list"},
	} {
		fmt.Fprintf(&b, "%s:", strings.Join(what, " "))
		for _, x := range c.list(what...) {
			fmt.Fprintf(&b, " %s%s", x.Name, x.IP)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// life makes a site with a droplet, changes it, and takes it away.
func (c *doctl) life() {
	t := c.t
	c.do("account", "get")
	if n := len(c.list("compute", "region", "list")); n < 10 {
		t.Errorf("%d regions", n)
	}
	if n := len(c.list("compute", "size", "list")); n < 20 {
		t.Errorf("%d sizes", n)
	}
	v := c.one("vpcs", "create", "--name", "site", "--region", "nyc3", "--ip-range", "10.64.0.0/20", "--description", "a site's network")
	if v.Default || v.IPRange != "10.64.0.0/20" {
		t.Errorf("VPC %+v", v)
	}
	c.refused("overlaps with another VPC network in your account: site 10.64.0.0/20", "vpcs", "create", "--name", "other", "--region", "fra1", "--ip-range", "10.64.0.0/24")
	c.do("compute", "tag", "create", "skyweld:role:node")
	c.refused("tag nobody does not exist", "compute", "firewall", "create", "--name", "fw", "--tag-names", "nobody", "--inbound-rules", "protocol:tcp,ports:22,address:0.0.0.0/0")
	f := c.one("compute", "firewall", "create", "--name", "fw", "--tag-names", "skyweld:role:node",
		"--inbound-rules", "protocol:tcp,ports:22,address:192.0.2.0/24 protocol:udp,ports:51820,address:0.0.0.0/0",
		"--outbound-rules", "protocol:tcp,ports:all,address:0.0.0.0/0 protocol:icmp,address:0.0.0.0/0")
	d := c.one("compute", "droplet", "create", "node-1", "--region", "nyc3", "--size", "s-2vcpu-4gb", "--image", "ubuntu-24-04-x64", "--vpc-uuid", v.id(),
		"--tag-names", "skyweld:role:node", "--user-data", "#cloud-config", "--wait")
	if d.Status != "active" || d.VPC != v.id() {
		t.Errorf("droplet %s is %s in %q", d.id(), d.Status, d.VPC)
	}
	if found := c.list("compute", "droplet", "list", "--tag-name", "skyweld:role:node"); len(found) != 1 || found[0].id() != d.id() {
		t.Errorf("%d droplets have the tag", len(found))
	}
	if tag := c.one("compute", "tag", "get", "skyweld:role:node"); tag.Resource.Count != 1 {
		t.Errorf("the tag is on %d resources", tag.Resource.Count)
	}
	ip := c.one("compute", "reserved-ip", "create", "--region", "nyc3")
	c.do("compute", "reserved-ip-action", "assign", ip.IP, d.id())
	c.settle("the address is on the droplet", func() bool {
		now := c.one("compute", "reserved-ip", "get", ip.IP)
		return now.Droplet != nil && now.Droplet.id() == d.id()
	})
	c.do("compute", "firewall", "add-rules", f.id(), "--inbound-rules", "protocol:tcp,ports:6443,address:192.0.2.0/24")
	c.do("compute", "droplet-action", "power-off", d.id(), "--wait")
	c.do("compute", "droplet-action", "power-on", d.id(), "--wait")
	c.refused("Can not delete VPC with members", "vpcs", "delete", v.id(), "--force")
	for _, x := range c.list("vpcs", "list") {
		if x.Default {
			c.refused("Can not delete default VPCs", "vpcs", "delete", x.id(), "--force")
			break
		}
	}
	c.do("compute", "reserved-ip-action", "unassign", ip.IP)
	c.settle("the address is on no droplet", func() bool { return c.one("compute", "reserved-ip", "get", ip.IP).Droplet == nil })
	c.do("compute", "reserved-ip", "delete", ip.IP, "--force")
	c.do("compute", "droplet", "delete", d.id(), "--force")
	c.settle("the droplet is gone", func() bool { return len(c.list("compute", "droplet", "list")) == 0 })
	c.do("compute", "firewall", "delete", f.id(), "--force")
	c.do("vpcs", "delete", v.id(), "--force")
	c.do("compute", "tag", "delete", "skyweld:role:node", "--force")
	if _, err := strconv.Atoi(d.id()); err != nil {
		t.Errorf("a droplet's id is %q", d.id())
	}
}

// settle asks until something is so.
func (c *doctl) settle(what string, is func() bool) {
	c.t.Helper()
	for range 100 {
		if is() {
			return
		}
	}
	c.t.Fatalf("not after a hundred looks: %s", what)
}
