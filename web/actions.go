package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

var actionPages = []page{
	{path: "/clusters/{name}/reconcile", needs: auth.Operator, show: showReconcile, writes: auth.Operator, do: reconcile},
	{path: "/clusters/{name}/pause", needs: auth.Operator, show: showPause, writes: auth.Operator, do: pause},
	{path: "/clusters/{name}/resume", needs: auth.Operator, show: showResume, writes: auth.Operator, do: resume},
	{path: "/clusters/{name}/approve", needs: auth.Operator, show: showApprove, writes: auth.Operator, do: approve},
	{path: "/clusters/{name}/delete", needs: auth.Operator, show: showDelete, writes: auth.Operator, do: deleteCluster},
	{path: "/clusters/{name}/kubeconfig", needs: auth.Operator, show: showKubeconfig},
}

var actionDownloads = []download{
	{path: "/clusters/{name}/kubeconfig/file", needs: auth.Operator, file: kubeconfigFile},
}

// cluster is the one that the address names.
func (a *call) cluster() (api.Cluster, error) { return a.api.Cluster(a.ctx(), a.arg("name")) }

// action is a page of one cluster that asks for something: nothing on it changes by itself.
func action(c api.Cluster, title string, v view) view {
	v.title, v.live = title+" · "+c.Name, ""
	return v
}

func showReconcile(a *call) (view, error) {
	c, err := a.cluster()
	if err != nil {
		return view{}, err
	}
	return action(c, "Reconcile", clusterView(c, "", reconcilePage(c))), nil
}

func reconcile(a *call) (string, error) {
	ch, err := a.once().Reconcile(a.ctx(), a.arg("name"))
	if err != nil {
		return "", err
	}
	return changeShown(ch), nil
}

// longestReason is how long the reason of a pause may be.
const longestReason = 200

func showPause(a *call) (view, error) {
	c, err := a.cluster()
	if err != nil {
		return view{}, err
	}
	return action(c, "Pause", clusterView(c, "", pausePage(c))), nil
}

func pause(a *call) (string, error) {
	reason := strings.TrimSpace(a.input.value("reason", ""))
	if reason == "" {
		return "", a.input.wrong("reason", "say in a few words why, for everybody to see")
	}
	if _, err := a.api.Pause(a.ctx(), a.arg("name"), reason); err != nil {
		return "", err
	}
	return clusterPath(a.arg("name")), nil
}

func showResume(a *call) (view, error) {
	c, err := a.cluster()
	if err != nil {
		return view{}, err
	}
	return action(c, "Resume", clusterView(c, "", resumePage(c))), nil
}

func resume(a *call) (string, error) {
	if _, err := a.api.Resume(a.ctx(), a.arg("name")); err != nil {
		return "", err
	}
	return clusterPath(a.arg("name")), nil
}

func showApprove(a *call) (view, error) {
	c, err := a.cluster()
	if err != nil {
		return view{}, err
	}
	p, err := a.api.PlanChange(a.ctx(), c.Name, api.ChangeAsked{Kind: "approve"})
	refused := ""
	if err != nil {
		if refused = refusal(err); refused == "" {
			return view{}, err
		}
	}
	return action(c, "Recover", clusterView(c, "", approvePage(c, p, refused))), nil
}

func approve(a *call) (string, error) {
	ch, err := a.once().Approve(a.ctx(), a.arg("name"))
	if err != nil {
		return "", err
	}
	return changeShown(ch), nil
}

// deletion is what the page shows that asks before a cluster is deleted.
type deletion struct {
	c    api.Cluster
	plan api.Plan
	// unplanned says why the list can't be made; the cluster can be deleted all the same.
	unplanned string
	sites     []site
}

func showDelete(a *call) (view, error) {
	var d deletion
	var err error
	if d.c, err = a.cluster(); err != nil {
		return view{}, err
	}
	d.sites = sitesOf(d.c, nil)
	if d.c.Phase != "Deleting" {
		if d.plan, err = a.api.PlanChange(a.ctx(), d.c.Name, api.ChangeAsked{Kind: "delete", Abandon: a.input.values["abandon"]}); err != nil {
			if d.unplanned = refusal(err); d.unplanned == "" {
				return view{}, err
			}
		}
	}
	return action(d.c, "Delete", clusterView(d.c, "", deletePage(d))), nil
}

func deleteCluster(a *call) (string, error) {
	name := a.arg("name")
	if a.input.value("confirm", "") != name {
		return "", a.input.wrong("confirm", fmt.Sprintf("want the cluster's name, %s, so that nobody deletes another one by mistake", name))
	}
	ch, err := a.once().Delete(a.ctx(), name, a.input.values["abandon"]...)
	if err != nil {
		return "", err
	}
	return changeShown(ch), nil
}

// kubeconfigHours are the choices of how long a kubeconfig is good for.
var kubeconfigHours = []option{{"1", "1 hour"}, {"8", "8 hours"}, {"24", "1 day"}, {"168", "7 days"}, {"720", "30 days"}}

func showKubeconfig(a *call) (view, error) {
	c, err := a.cluster()
	if err != nil {
		return view{}, err
	}
	return action(c, "Kubeconfig", clusterView(c, "", kubeconfigPage(c))), nil
}

func kubeconfigFile(a *call) (name, kind string, content []byte, err error) {
	hours, err := strconv.Atoi(a.query("hours"))
	if err != nil || hours < 1 || hours > 8760 {
		return "", "", nil, &api.Problem{Status: http.StatusUnprocessableEntity, Detail: "hours: want a whole number from 1 to 8760"}
	}
	content, err = a.api.Kubeconfig(a.ctx(), a.arg("name"), hours)
	return a.arg("name") + ".kubeconfig", "application/yaml", content, err
}

var receiptPages = []page{
	{path: "/receipts", needs: auth.Viewer, show: showReceipts},
	{path: "/receipts/{uid}", needs: auth.Viewer, show: showReceipt},
}

func showReceipts(a *call) (view, error) {
	list, err := a.api.Receipts(a.ctx())
	if err != nil {
		return view{}, err
	}
	return view{title: "Receipts", section: "Receipts", body: receiptsPage(list)}, nil
}

func showReceipt(a *call) (view, error) {
	r, err := a.api.Receipt(a.ctx(), a.arg("uid"))
	if err != nil {
		return view{}, err
	}
	return view{title: "Receipt of " + r.Cluster.Name, section: "Receipts", crumbs: []link{{"Receipts", "/receipts"}}, body: receiptPage(r)}, nil
}

// receiptOf is the address of the receipt of a cluster that is no more, empty where there is none.
func (a *call) receiptOf(ctx context.Context, name string) string {
	list, err := a.api.Receipts(ctx)
	if err != nil {
		return ""
	}
	for _, r := range list { // the newest first
		if r.Cluster == name {
			return "/receipts/" + r.UID
		}
	}
	return ""
}

// receiptState is what a receipt says, in a word.
func receiptState(r api.Receipt) (tone, string) {
	switch r.State {
	case "nothing-left":
		return good, "Nothing left"
	case "abandoned":
		return warning, "Sites given up"
	}
	return busy, "Still open"
}

// givingUp says that the form for a deletion was sent with sites that are given up.
func givingUp(ctx context.Context) bool {
	in := &callOf(ctx).input
	return len(in.of("abandon")) > 0 || len(in.values["abandon"]) > 0
}
