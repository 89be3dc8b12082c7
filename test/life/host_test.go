package life_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// strangers is what the clouds' own clients list, each where it is installed.
func (w *world) strangers() map[string][]string {
	w.t.Helper()
	out := map[string][]string{}
	if _, err := exec.LookPath("aws"); err == nil {
		for what, query := range map[string]string{
			"vpcs": "Vpcs[].VpcId", "subnets": "Subnets[].SubnetId", "security-groups": "SecurityGroups[].GroupId", "route-tables": "RouteTables[].RouteTableId",
			"internet-gateways": "InternetGateways[].InternetGatewayId", "addresses": "Addresses[].AllocationId",
			"instances": "Reservations[].Instances[?State.Name!='terminated'][].InstanceId",
		} {
			out["aws "+what] = w.list("aws", "ec2", "describe-"+what, "--query", query, "--output", "text")
		}
	} else {
		w.t.Log("SKIPPED: what aws sees: it is not installed (pip install awscli)")
	}
	if _, err := exec.LookPath("gcloud"); err == nil {
		for _, what := range []string{"networks", "firewall-rules", "instances", "addresses"} {
			out["gcloud "+what] = w.list("gcloud", "compute", what, "list", "--format=value(name)")
		}
	} else {
		w.t.Log("SKIPPED: what gcloud sees: it is not installed (the package google-cloud-cli)")
	}
	if hasCurl() {
		for _, c := range []string{"azure", "digitalocean"} {
			out["curl at "+c] = w.list(seesScript, c)
		}
	} else {
		w.t.Log("SKIPPED: what curl sees at Azure and DigitalOcean: it is not installed, or jq isn't (make deps)")
	}
	return out
}

func (w *world) list(name string, args ...string) []string {
	w.t.Helper()
	out, err := w.Command(nil, name, args...)
	if err != nil {
		w.t.Fatalf("%s %s failed", name, strings.Join(args, " "))
	}
	list := strings.Fields(out)
	slices.Sort(list)
	return list
}

// strangersSee wants the cluster's resources in what the clouds' own clients list, marked.
func (w *world) strangersSee() {
	w.t.Helper()
	var list struct {
		Items []struct{ Key, Kind, Site, ID string }
	}
	w.JSON(&list, "get", "resources", "life", "-o", "json")
	if _, err := exec.LookPath("aws"); err == nil {
		marked, err := w.Command(nil, "aws", "ec2", "describe-tags", "--filters", "Name=key,Values=skyweld-key", "--query", "Tags[].ResourceId", "--output", "text")
		if err != nil {
			w.t.Fatal("aws ec2 describe-tags failed")
		}
		for _, r := range list.Items {
			if r.Site == "aws" && r.Kind != "address-association" && !strings.Contains(marked, r.ID) {
				w.t.Errorf("aws doesn't show %s %s as marked", r.Kind, r.ID)
			}
		}
	}
	if _, err := exec.LookPath("gcloud"); err == nil {
		seen := w.strangers()
		for _, r := range list.Items {
			kind := map[string]string{"network": "networks", "firewall": "firewall-rules", "instance": "instances", "address": "addresses"}[r.Kind]
			name, _, _ := strings.Cut(r.ID[strings.LastIndex(r.ID, "/")+1:], "#")
			if r.Site == "gcp" && kind != "" && !slices.Contains(seen["gcloud "+kind], name) {
				w.t.Errorf("gcloud doesn't list %s %s", r.Kind, name)
			}
		}
	}
	if !hasCurl() {
		return
	}
	var cluster struct{ UID string }
	w.JSON(&cluster, "get", "clusters", "life", "-o", "json")
	for _, c := range []string{"azure", "digitalocean"} {
		marked, err := w.Command(nil, seesScript, c, cluster.UID)
		if err != nil {
			w.t.Fatalf("curl can't ask %s", c)
		}
		for _, r := range list.Items {
			id, _, _ := strings.Cut(r.ID, "#")
			if r.Site == c && !strings.Contains(strings.ToLower(marked), " "+strings.ToLower(id)+"\n") {
				w.t.Errorf("curl doesn't see %s %s of %s as marked:\n%s", r.Kind, id, c, marked)
			}
		}
	}
}

// seesScript lists what is in an account of a cloud whose own command line few machines have, by curl.
const seesScript = "../../scripts/sees.sh"

func hasCurl() bool {
	_, noCurl := exec.LookPath("curl")
	_, noJQ := exec.LookPath("jq")
	return noCurl == nil && noJQ == nil
}

// memory holds engine and lab to their limits: what they have for themselves, shared pages divided (PSS).
func (w *world) memory() {
	w.t.Helper()
	if mib := pss(strconv.Itoa(w.Engine.Process.Pid)); mib > 100 {
		w.t.Errorf("the engine has %d MiB: want at most 100", mib)
	} else {
		w.t.Logf("the engine has %d MiB", mib)
	}
	total := 0
	for _, pid := range w.labProcesses() {
		total += pss(pid)
	}
	if total > 7<<10 {
		w.t.Errorf("the lab has %d MiB: want at most %d", total, 7<<10)
	} else {
		w.t.Logf("the lab with seven nodes has %d MiB", total)
	}
}

// labProcesses are those that don't live in this process's network namespace or run the lab.
func (w *world) labProcesses() []string {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	entries, err := os.ReadDir("/proc")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		ns, err := os.Readlink(filepath.Join("/proc", e.Name(), "ns/net"))
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && (ns != own || strings.Contains(string(line), "lab\x00start")) {
			out = append(out, e.Name())
		}
	}
	return out
}

var pssLine = regexp.MustCompile(`(?m)^Pss:\s+(\d+) kB`)

// pss is a process's proportional set size in MiB; 0 for one that is gone.
func pss(pid string) int {
	data, err := os.ReadFile(filepath.Join("/proc", pid, "smaps_rollup"))
	if err != nil {
		return 0
	}
	m := pssLine.FindSubmatch(data)
	if m == nil {
		return 0
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return 0
	}
	return kb / 1024
}
