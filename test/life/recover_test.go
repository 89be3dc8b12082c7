package life_test

import (
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// loseMachines deletes machines through the clouds' own clients: first two of the control plane, then all of it. It comes
// back when that is approved, with what Kubernetes held, and without another worker.
func (w *world) loseMachines() {
	w.t.Helper()
	for _, tool := range []string{"aws", "gcloud", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			w.t.Logf("SKIPPED: the loss of the control plane: %s is not installed", tool)
			return
		}
	}
	workers := w.machinesOf("web", "api", "jobs", "batch")
	w.kubectl("create", "configmap", "kept", "--from-literal=written=before")

	w.t.Log("a member of etcd taken out, and a Node deleted, by hand")
	w.kubectl("delete", "node", "life-batch-1")
	w.kubectl("label", "node", "life-web-1", "skyweld.dev/site-")
	// The last: an API server answers nobody once its etcd is no member.
	if out, err := w.etcdctl("member", "remove", w.etcdMembers()["life-aws-cp-1"]); err != nil {
		w.t.Fatalf("etcdctl member remove: %s %v", out, err)
	}
	w.Must("reconcile", "life", "--wait")
	w.wantNodes(7)
	if members := w.etcdMembers(); len(members) != 3 {
		w.t.Errorf("etcd has the members %v", members)
	}

	w.t.Log("two of three control-plane machines deleted")
	begin := time.Now()
	w.removeAll("life-aws-cp-1", "life-azure-cp-1")
	w.wantApproval("life-gcp-cp-1")
	w.Must("reconcile", "life", "--approve", "--wait")
	w.wantRecovered(begin, workers)

	w.t.Log("all control-plane machines deleted")
	w.Must("reconcile", "life", "--wait")
	if list := w.Must("get", "snapshots", "life"); strings.Count(list, "\n") < 2 {
		w.t.Errorf("the snapshots are\n%s", list)
	}
	begin = time.Now()
	w.removeAll("life-aws-cp-1", "life-gcp-cp-1", "life-azure-cp-1")
	w.wantApproval("the snapshot")
	w.Must("reconcile", "life", "--approve", "--wait")
	w.wantRecovered(begin, workers)
}

// wantApproval waits until a run has said that somebody must approve, of what would become the control plane.
func (w *world) wantApproval(of string) {
	w.t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	begin, said := time.Now(), ""
	for w.Must("reconcile", "life"); time.Since(begin) < 4*time.Minute; <-tick.C {
		said = w.Must("get", "clusters", "life", "-o", "json")
		if strings.Contains(said, "reconcile life --approve") && strings.Contains(said, of) {
			w.t.Logf("approval is asked for after %.0f s", time.Since(begin).Seconds())
			return
		}
	}
	w.t.Fatalf("nobody is asked to approve: %s", said)
}

// wantRecovered wants all nodes to be Ready, the workers to be the same machines, and what was written to be there.
func (w *world) wantRecovered(begin time.Time, workers map[string]string) {
	w.t.Helper()
	w.kubeconfig()
	w.kubectlSoon("wait", "node", "--all", "--for=condition=Ready", "--timeout=180s")
	w.t.Logf("back after %.0f s", time.Since(begin).Seconds())
	w.wantNodes(7)
	if got := w.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.written}"); got != "before" {
		w.t.Errorf("the ConfigMap says %q", got)
	}
	if members := w.etcdMembers(); len(members) != 3 {
		w.t.Errorf("etcd has the members %v", members)
	}
	for name, id := range w.machinesOf("web", "api", "jobs", "batch") {
		if workers[name] != id {
			w.t.Errorf("%s was machine %s and is %s", name, workers[name], id)
		}
	}
}

// machinesOf are the clouds' ids of the machines of groups, by node; of no group, those of the control plane.
func (w *world) machinesOf(groups ...string) map[string]string {
	w.t.Helper()
	var list struct {
		Items []struct{ Name, Machine string }
	}
	w.JSON(&list, "get", "nodes", "life", "-o", "json")
	out := map[string]string{}
	for _, n := range list.Items {
		for _, g := range append(groups, "cp") {
			if strings.Contains(n.Name, "-"+g+"-") && (g == "cp") == (len(groups) == 0) {
				out[n.Name] = n.Machine
			}
		}
	}
	return out
}

// azureDelete deletes a virtual machine as curl does it.
const azureDelete = `set -eu
token=$(curl -sS --fail-with-body --cacert "$REQUESTS_CA_BUNDLE" --data-urlencode grant_type=client_credentials --data-urlencode "client_id=$AZURE_CLIENT_ID" \
	--data-urlencode "client_secret=$AZURE_CLIENT_SECRET" --data-urlencode "scope=${AZURE_RESOURCE_MANAGER_AUDIENCE:-$AZURE_RESOURCE_MANAGER_ENDPOINT}/.default" \
	"${AZURE_AUTHORITY_HOST%/}/$AZURE_TENANT_ID/oauth2/v2.0/token" | jq -r .access_token)
curl -sS --fail-with-body --cacert "$REQUESTS_CA_BUNDLE" -X DELETE -H "Authorization: Bearer $token" "${AZURE_RESOURCE_MANAGER_ENDPOINT%/}$1?api-version=2024-07-01"`

// removeAll deletes the machines of control-plane nodes, and waits until they are gone, before a run can bring the first one
// back: a run that sees one of them still begins to mend the control plane as if that were there, for minutes.
func (w *world) removeAll(nodes ...string) {
	w.t.Helper()
	w.Must("reconcile", "pause", "life", "--reason", "machines are being lost")
	machines := len(w.machineIDs())
	for _, n := range nodes {
		w.remove(n)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for begin := time.Now(); ; <-tick.C {
		left := w.machineIDs()
		if len(left) == machines-len(nodes) {
			break
		}
		if time.Since(begin) > time.Minute {
			w.t.Fatalf("a minute after %v were deleted there are the machines %v", nodes, left)
		}
	}
	w.Must("reconcile", "resume", "life")
}

// remove deletes the machine of a control-plane node with its cloud's own client.
func (w *world) remove(node string) {
	w.t.Helper()
	id, _, _ := strings.Cut(w.machinesOf()[node], "#")
	var out string
	var err error
	site := strings.Split(node, "-")[1] // Kubernetes may have nobody left to ask
	switch site {
	case "aws":
		out, err = w.Command(nil, "aws", "ec2", "terminate-instances", "--instance-ids", id)
	case "gcp": // projects/…/zones/ZONE/instances/NAME
		parts := strings.Split(id, "/")
		out, err = w.Command(nil, "gcloud", "compute", "instances", "delete", parts[len(parts)-1], "--zone", parts[len(parts)-3], "--quiet")
	case "azure":
		out, err = w.Command(nil, "bash", "-c", azureDelete, "bash", id)
	default:
		err = fmt.Errorf("no client of %s", site)
	}
	if err != nil {
		w.t.Fatalf("delete the machine of %s (%q): %s %v", node, id, out, err)
	}
}
