package web

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/spec"
)

var nodePages = []page{
	{path: "/clusters/{name}/nodes", needs: auth.Viewer, show: showNodes, writes: auth.Operator, do: addNodes},
	{path: "/clusters/{name}/nodes/{node}/remove", needs: auth.Operator, show: showRemove, writes: auth.Operator, do: removeNode},
}

// mostAdded is how many workers the page adds at once; a file can ask for more.
const mostAdded = 20

// nodesShown is what the page of nodes shows.
type nodesShown struct {
	c      api.Cluster
	nodes  []api.Node
	groups []option
}

func showNodes(a *call) (view, error) {
	var n nodesShown
	err := a.together(
		into(&n.c, func(ctx context.Context) (api.Cluster, error) { return a.api.Cluster(ctx, a.arg("name")) }),
		into(&n.nodes, func(ctx context.Context) ([]api.Node, error) { return a.api.SeenNodes(ctx, a.arg("name")) }),
	)
	if err != nil {
		return view{}, err
	}
	if file, err := spec.Parse([]byte(n.c.File)); err == nil {
		for _, w := range file.Spec.Workers {
			n.groups = append(n.groups, option{w.Name, w.Name + ": " + w.Size + " at " + w.Site + ", " + counted(w.Nodes(), "node") + " now"})
		}
	}
	return clusterView(n.c, "Nodes", nodesPage(n)), nil
}

func addNodes(a *call) (string, error) {
	count, err := strconv.Atoi(strings.TrimSpace(a.input.value("count", "")))
	if err != nil || count < 1 || count > mostAdded {
		return "", a.input.wrong("count", "want a whole number from 1 to "+strconv.Itoa(mostAdded))
	}
	ch, err := a.once().AddNodes(a.ctx(), a.arg("name"), a.input.value("group", ""), count)
	if err != nil {
		return "", err
	}
	return changeShown(ch), nil
}

// changeShown is where the page is that tells of a change which was just asked for.
func changeShown(ch api.Change) string {
	return clusterPath(ch.Cluster) + "?change=" + strconv.FormatInt(ch.ID, 10)
}

// removal is what the page shows that asks before a node is removed.
type removal struct {
	c    api.Cluster
	node api.Node
	plan api.Plan
	// refused says why it can't be removed.
	refused string
}

func showRemove(a *call) (view, error) {
	var r removal
	var nodes []api.Node
	name, node := a.arg("name"), a.arg("node")
	err := a.together(
		into(&r.c, func(ctx context.Context) (api.Cluster, error) { return a.api.Cluster(ctx, name) }),
		into(&nodes, func(ctx context.Context) ([]api.Node, error) { return a.api.SeenNodes(ctx, name) }),
	)
	if err != nil {
		return view{}, err
	}
	i := slices.IndexFunc(nodes, func(n api.Node) bool { return n.Name == node })
	if i < 0 {
		return view{}, &api.Problem{Status: http.StatusNotFound, Detail: "cluster " + name + " has no node " + node}
	}
	r.node = nodes[i]
	if r.plan, err = a.api.PlanChange(a.ctx(), name, api.ChangeAsked{Kind: "node-remove", Node: node}); err != nil {
		if r.refused = refusal(err); r.refused == "" {
			return view{}, err
		}
	}
	v := clusterView(r.c, "Nodes", removePage(r))
	v.title, v.live = "Remove "+node+" · "+name, ""
	return v, nil
}

// refusal is what the API says against something, empty for other errors.
func refusal(err error) string {
	if s := statusOf(err); s == http.StatusConflict || s == http.StatusUnprocessableEntity || s == http.StatusBadGateway {
		return sentence(errorWords(err))
	}
	return ""
}

func removeNode(a *call) (string, error) {
	ch, err := a.once().RemoveNode(a.ctx(), a.arg("name"), a.arg("node"))
	if err != nil {
		return "", err
	}
	return changeShown(ch), nil
}
