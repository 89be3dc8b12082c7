package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// Server serves the API of one engine.
type Server struct {
	engine  *engine.Engine
	version string
	auth    *auth.Service
	// hosts are the names that the server has beside this machine's for itself; nil for one that serves only this machine.
	hosts []string
	// proxies are whose word about where a request comes from is taken.
	proxies []netip.Prefix
	// inner is the API for who has been found out, signIn what lets people in, console all else; nil while there is none.
	inner, signIn, console http.Handler
	// metrics answers Prometheus; nil for nobody.
	metrics http.Handler
	// ending is done when nobody is to wait any longer.
	ending context.Context
	end    context.CancelFunc
	// pump is what all streams read, restored the epoch of their ids once it was asked for.
	pump     *pump
	restored atomic.Pointer[string]
}

// NewServer returns the API's handler. Every request must carry a token, this one or one of the store's, or be one of somebody
// who is signed in.
func NewServer(e *engine.Engine, token, version string, options ...Option) *Server {
	s := &Server{engine: e, version: version}
	for _, o := range options {
		o(s)
	}
	if s.auth == nil {
		s.auth = auth.New(auth.Options{Store: e.Store(), LocalToken: token})
	}
	s.pump = newPump(s)
	s.ending, s.end = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	api := humago.New(mux, about())
	api.UseMiddleware(s.audit, permit(api))
	s.accounts(api)
	s.clusters(api)
	s.changes(api)
	s.backup(api)
	s.deletion(api)
	s.schedule(api)
	s.recovery(api)
	s.nodes(api)
	s.latency(api)
	s.regions(api)
	s.measurements(api)
	s.runs(api)
	s.events(api)
	s.people(api)
	s.auditLog(api)
	s.stream(api)
	s.inner = s.once(mux, api, route(mux))
	s.signIn = s.auth.SignIn()
	return s
}

// As is a client that asks in this process, as a principal who was found out already.
func (s *Server) As(p auth.Principal) *Client {
	return &Client{Base: "http://in-process", Who: p.Name, HTTP: &http.Client{Transport: inProcess{s.inner, p}}}
}

// EndWaits answers all requests that wait for something to happen. It belongs to http.Server.RegisterOnShutdown.
func (s *Server) EndWaits() { s.end() }

type body[T any] struct{ Body T }

// list is all of something; one that grows comes in pages.
type list[T any] struct {
	Body struct {
		Items []T `json:"items"`
	}
}

type listed[T any] struct {
	Body struct {
		Items []T    `json:"items"`
		Next  string `json:"next,omitempty" doc:"the cursor of the next page; missing at the end"`
	}
}

func listOf[T any](items []T) *list[T] {
	l := new(list[T])
	l.Body.Items = items
	if items == nil {
		l.Body.Items = []T{}
	}
	return l
}

type byName struct {
	Name string `path:"name"`
}

type pageByName struct {
	Name string `path:"name"`
	Paged
}

// get, post and remove register operations; errors of the engine become problems. more adds to what the API's document says.
func get[I, O any](api huma.API, path, summary string, f func(context.Context, *I) (*O, error), more ...func(*huma.Operation)) {
	register(api, http.MethodGet, path, summary, http.StatusOK, f, more...)
}

func post[I, O any](api huma.API, path, summary string, status int, f func(context.Context, *I) (*O, error), more ...func(*huma.Operation)) {
	register(api, http.MethodPost, path, summary, status, f, more...)
}

func remove[I, O any](api huma.API, path, summary string, status int, f func(context.Context, *I) (*O, error), more ...func(*huma.Operation)) {
	register(api, http.MethodDelete, path, summary, status, f, more...)
}

func register[I, O any](api huma.API, method, path, summary string, status int, f func(context.Context, *I) (*O, error), more ...func(*huma.Operation)) {
	id := strings.ToLower(method) + strings.NewReplacer("/", "-", "{", "", "}", "").Replace(path)
	op := huma.Operation{OperationID: id, Method: method, Path: "/api/v1" + path, Summary: summary, DefaultStatus: status, MaxBodyBytes: maxBody, Extensions: map[string]any{roleExtension: roleFor(method, path)}}
	describe(&op)
	for _, m := range more {
		m(&op)
	}
	huma.Register(api, op,
		func(ctx context.Context, in *I) (*O, error) {
			n := noteOf(ctx)
			n.begin(ctx, in)
			out, err := f(ctx, in)
			n.end(ctx, err)
			if err != nil {
				return nil, problem(err)
			}
			return out, nil
		})
}

// places are where fields of the engine's problems are in requests, as far as they have other names there.
var places = map[string]string{"egress": "settings.egress", "abandon": "query.abandon"}

// ofNodes is an error of asking nodes: what isn't said by the engine is what a node did or didn't do.
func ofNodes(err error) error {
	if p, ok := errors.AsType[*Problem](problem(err)); ok && p.Status == http.StatusInternalServerError {
		return newProblem(http.StatusBadGateway, err.Error())
	}
	return err
}

// problem translates an error of the engine into an RFC 9457 problem.
func problem(err error) error {
	var p *engine.Problem
	var fields spec.Errors
	var ce *cloud.Error
	var own *auth.Error
	switch {
	case errors.As(err, new(*Problem)):
		return err
	case errors.As(err, &own):
		answer := huma.NewError(own.Status, own.Message)
		if own.After > 0 {
			return huma.ErrorWithHeaders(answer, http.Header{"Retry-After": {strconv.Itoa(int(own.After / time.Second))}})
		}
		return answer
	case errors.As(err, &fields):
		details := make([]error, len(fields))
		for i, f := range fields {
			details[i] = &huma.ErrorDetail{Location: f.Path, Message: f.Error(), Value: f.Value}
		}
		return huma.Error422UnprocessableEntity("the cluster file is not valid", details...)
	case errors.As(err, &p):
		status := map[engine.ProblemKind]int{engine.BadInput: 422, engine.Missing: 404, engine.Taken: 409, engine.NotNow: 409}[p.Kind]
		if p.Field == "" {
			return newProblem(status, p.Error())
		}
		return newProblem(status, p.Error(), &huma.ErrorDetail{Location: cmp.Or(places[p.Field], p.Field), Message: p.Message})
	case errors.As(err, new(*engine.Refused)):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, store.ErrKeyLost):
		return newProblem(http.StatusConflict, "this took so long that the same request, with the same key, was begun again: that one's answer counts")
	case errors.Is(err, store.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, store.ErrExists), errors.Is(err, store.ErrInUse), errors.Is(err, store.ErrConflict):
		return huma.Error409Conflict(err.Error())
	case errors.As(err, &ce), errors.As(err, new(*engine.EgressError)):
		return huma.Error502BadGateway(err.Error())
	case errors.Is(err, store.ErrFull):
		return huma.NewError(http.StatusInsufficientStorage, err.Error())
	}
	return huma.Error500InternalServerError(err.Error())
}

func (s *Server) accounts(api huma.API) {
	get(api, "/version", "The engine's version", func(context.Context, *struct{}) (*body[Version], error) {
		return &body[Version]{Version{Version: s.version, Go: runtime.Version()}}, nil
	})
	s.listAccounts(api)
	post(api, "/accounts", "Add an account", http.StatusCreated, func(ctx context.Context, in *body[NewAccount]) (*body[AccountReport], error) {
		a := cloud.Account{Name: in.Body.Name, Provider: cloud.Provider(in.Body.Provider), Settings: in.Body.Settings, CA: in.Body.CA, Proxy: in.Body.Proxy, Secrets: map[string]cloud.Secret{}}
		for k, v := range in.Body.Secrets {
			a.Secrets[k] = cloud.Secret(v)
		}
		report, err := s.engine.AddAccount(ctx, a)
		return &body[AccountReport]{report}, err
	})
	post(api, "/accounts/{name}", "Give an account other credentials or settings", http.StatusOK, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Body AccountUpdate
	}) (*body[AccountReport], error) {
		a := cloud.Account{Name: in.Name, Provider: cloud.Provider(in.Body.Provider), Settings: in.Body.Settings, CA: in.Body.CA, Proxy: in.Body.Proxy, Secrets: map[string]cloud.Secret{}}
		for k, v := range in.Body.Secrets {
			a.Secrets[k] = cloud.Secret(v)
		}
		report, err := s.engine.UpdateAccount(ctx, a)
		return &body[AccountReport]{report}, err
	})
	get(api, "/accounts/{name}/check", "Check an account", func(ctx context.Context, in *byName) (*body[AccountReport], error) {
		report, err := s.engine.CheckAccount(ctx, in.Name)
		return &body[AccountReport]{report}, err
	})
	get(api, "/accounts/{name}/inventory", "List what an account holds", func(ctx context.Context, in *struct {
		Name   string   `path:"name"`
		Region []string `query:"region"`
	}) (*list[cloud.Item], error) {
		items, err := s.engine.Inventory(ctx, in.Name, in.Region)
		return listOf(items), err
	})
	remove(api, "/accounts/{name}", "Remove an account", http.StatusNoContent, func(ctx context.Context, in *byName) (*struct{}, error) {
		return nil, s.engine.RemoveAccount(ctx, in.Name)
	})
}

func (s *Server) clusters(api huma.API) {
	post(api, "/plan", "Say what applying a cluster file would do", http.StatusOK, func(ctx context.Context, in *struct {
		OnLatency
		Body File
	}) (*body[Plan], error) {
		return planned(s.engine.Plan(engine.OnLatency(ctx, in.Choice), []byte(in.Body.Cluster)))
	})
	post(api, "/clusters/{name}/plan", "Say what a change of a cluster would do", http.StatusOK, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Body ChangeAsked
	}) (*body[Plan], error) {
		switch store.ChangeKind(in.Body.Kind) {
		case store.NodeAdd:
			return planned(s.engine.PlanAddNodes(ctx, in.Name, in.Body.Group, max(1, in.Body.Count)))
		case store.NodeRemove:
			return planned(s.engine.PlanRemoveNode(ctx, in.Name, in.Body.Node))
		case store.Reconcile:
			return planned(s.engine.PlanReconcile(ctx, in.Name))
		case store.Approve:
			return planned(s.engine.PlanApprove(ctx, in.Name, who(ctx)))
		default: // the only other kind that is let through
			return planned(s.engine.PlanDelete(ctx, in.Name, in.Body.Abandon...))
		}
	})
	post(api, "/clusters", "Apply a cluster file", http.StatusAccepted, func(ctx context.Context, in *struct {
		Creating
		OnLatency
		Body File
	}) (*accepted, error) {
		ctx, err := in.bind(ctx)
		if err != nil {
			return nil, err
		}
		c, err := s.engine.Apply(engine.OnLatency(ctx, in.Choice), []byte(in.Body.Cluster), who(ctx))
		return s.change(ctx, c, err)
	})
	get(api, "/clusters", "List clusters, by name", func(ctx context.Context, in *Paged) (*listed[Cluster], error) {
		after, err := parseCursor("clusters", in.Cursor)
		if err != nil {
			return nil, err
		}
		limit := in.limit(usualPage)
		all, err := s.engine.Glances(ctx, after, limit+1)
		if err != nil {
			return nil, err
		}
		return pageOf("clusters", limit, all, func(g engine.Glance) string { return g.Name }, func(g engine.Glance) (Cluster, error) { return glanceOf(g), nil })
	})
	get(api, "/clusters/{name}", "Get a cluster", func(ctx context.Context, in *byName) (*tagged, error) {
		c, err := s.engine.Cluster(ctx, in.Name)
		if err != nil {
			return nil, err
		}
		v, err := s.cluster(ctx, c, true)
		return &tagged{v.ETag, v}, err
	})
	get(api, "/clusters/{name}/kubeconfig", "Get a kubeconfig", func(ctx context.Context, in *struct {
		Name  string `path:"name"`
		Hours int    `query:"hours" default:"24" minimum:"1" maximum:"8760"`
	}) (*body[File], error) {
		data, err := s.engine.Kubeconfig(ctx, in.Name, time.Duration(in.Hours)*time.Hour)
		return &body[File]{File{Cluster: string(data)}}, err
	})
}

func planned(p engine.Planned, err error) (*body[Plan], error) {
	if err != nil {
		return nil, err
	}
	text, err := spec.Marshal(p.Spec)
	steps := p.Graph.Steps
	if steps == nil {
		steps = []plan.Step{}
	}
	return &body[Plan]{Plan{Cluster: p.Spec.Metadata.Name, New: p.New, Steps: steps, Notes: p.Graph.Notes, More: p.Graph.More, Spec: string(text), Cost: p.Cost}}, err
}

// tagged is a cluster with its version.
type tagged struct {
	ETag string `header:"ETag"`
	Body Cluster
}

func (s *Server) cluster(ctx context.Context, c store.Cluster, whole bool) (Cluster, error) {
	asked, version, latest, err := s.engine.Asked(ctx, c.UID)
	if err != nil {
		return Cluster{}, err
	}
	c = asked.Cluster
	phase, conditions, err := s.engine.Health(ctx, c)
	if err != nil {
		return Cluster{}, err
	}
	v := clusterOf(c, version, phase, conditions, slices.Concat(asked.Applying, asked.Waiting))
	nodes, err := s.engine.SeenNodes(ctx, c)
	if err != nil {
		return v, err
	}
	costs, err := s.engine.Costs(ctx, c)
	if err != nil {
		return v, err
	}
	v.Cost = costs.Cluster.Total
	v.Nodes = len(nodes)
	for _, n := range nodes {
		if n.Status == "Ready" {
			v.Ready++
		}
	}
	if !whole {
		return v, nil
	}
	v.Estimate = &costs.Cluster
	if version.Change != 0 {
		text, err := spec.Marshal(latest)
		if err != nil {
			return v, err
		}
		v.Latest = string(text)
	}
	doc := c.Spec.Clone()
	doc.Status = clusterStatus{Phase: v.Phase, Nodes: v.Nodes, Ready: v.Ready, Paused: v.Paused, PendingChanges: v.PendingChanges, Conditions: v.Conditions}
	text, err := spec.Marshal(doc)
	v.File = string(text)
	return v, err
}

// glanceOf is a cluster as a list shows it.
func glanceOf(g engine.Glance) Cluster {
	v := clusterOf(g.Cluster, g.Version, g.Seen, g.Says, g.Pending)
	v.Nodes, v.Ready, v.Cost = g.Members, g.Ready, g.Cost
	if g.Last != nil {
		last := runOf(*g.Last, nil, g.Name)
		last.Total, last.Done = g.Total, g.Done
		v.LastRun = &last
	}
	return v
}

// clusterOf is a cluster as it is shown, but for what its nodes say and cost.
func clusterOf(c store.Cluster, version store.Version, phase store.Phase, conditions []store.Condition, pending []store.Change) Cluster {
	v := Cluster{
		Name: c.Name, UID: c.UID, Phase: string(phase), Generation: c.Generation, Version: c.Spec.Spec.KubernetesVersion, Created: c.Created, ETag: etag(version),
		Conditions: conditions, Paused: pauseOf(c.Paused),
	}
	if c.Paused == nil || !c.DeleteRequested.IsZero() {
		v.NextRun = c.NextRun
	}
	for _, site := range c.Spec.Spec.Sites {
		v.Sites = append(v.Sites, site.Name+" ("+site.Region+")")
	}
	for _, ch := range pending {
		one := changeOf(c, ch)
		one.Held = "" // Paused says it
		v.PendingChanges = append(v.PendingChanges, one)
	}
	return v
}

// clusterStatus is the status in a cluster's file. The file is the spec in force: what is asked for beyond it is pending.
type clusterStatus struct {
	Phase          string      `json:"phase"`
	Nodes          int         `json:"nodes"`
	Ready          int         `json:"ready"`
	Paused         *Pause      `json:"paused,omitempty"`
	PendingChanges []Change    `json:"pendingChanges,omitempty"`
	Conditions     []Condition `json:"conditions,omitempty"`
}

func (s *Server) nodes(api huma.API) {
	get(api, "/clusters/{name}/nodes", "List nodes, by role and name", func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Paged
		Seen bool `query:"seen" doc:"as they were seen last, at most some seconds ago, without waiting for Kubernetes"`
	}) (*listed[Node], error) {
		costs, err := s.costsOf(ctx, in.Name)
		if err != nil {
			return nil, err
		}
		all, err := s.nodesOf(ctx, in.Name, in.Seen)
		if err != nil {
			return nil, err
		}
		var out []Node
		for _, n := range all {
			v := Node{Cost: costs.Nodes[n.Name], Name: n.Name, Role: n.Role, Group: n.Group, Site: n.Site, Region: n.Region, Zone: n.CloudZone, Type: n.Type, Status: n.Status, Version: n.Version, Address: n.Address.String(), Pods: n.Pods.String(), Machine: n.Machine, Created: n.Created}
			if n.Public.IsValid() {
				v.Public = n.Public.String()
			}
			if n.Failure != nil {
				v.Failure = n.Failure.Message
			}
			if n.TunnelKey != "" {
				v.Tunnel = map[bool]string{true: "kernel", false: "user space"}[n.Kernel]
			}
			out = append(out, v)
		}
		sort.Slice(out, func(i, j int) bool {
			if out[i].Role != out[j].Role {
				return out[i].Role < out[j].Role
			}
			return out[i].Name < out[j].Name
		})
		return pageAfter("nodes/"+in.Name, in.Paged, usualPage, out, func(n Node) string { return n.Role + "/" + n.Name })
	})
	post(api, "/clusters/{name}/nodes", "Add workers", http.StatusAccepted, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Conditional
		Body struct {
			Group string `json:"group" example:"web"`
			Count int    `json:"count" minimum:"1" maximum:"100" default:"1"`
		}
	}) (*accepted, error) {
		ctx, err := in.bind(ctx)
		if err != nil {
			return nil, err
		}
		c, names, err := s.engine.AddNodes(ctx, in.Name, in.Body.Group, in.Body.Count, who(ctx))
		out, err := s.change(ctx, c, err)
		if err == nil {
			out.Body.Message = strings.Join(names, ", ")
		}
		return out, err
	})
	remove(api, "/clusters/{name}/nodes/{node}", "Remove a worker", http.StatusAccepted, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Node string `path:"node"`
		Conditional
	}) (*accepted, error) {
		ctx, err := in.bind(ctx)
		if err != nil {
			return nil, err
		}
		c, err := s.engine.RemoveNode(ctx, in.Name, in.Node, who(ctx))
		return s.change(ctx, c, err)
	})
	post(api, "/clusters/{name}/nodes/{node}/ssh", "Let a public key into a node for a few minutes", http.StatusOK, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Node string `path:"node"`
		Body SSHAsked
	}) (*body[SSH], error) {
		a, err := s.engine.Grant(ctx, in.Name, in.Node, in.Body.PublicKey)
		if err != nil {
			return nil, ofNodes(err)
		}
		return &body[SSH]{SSH{Name: a.Name, Address: a.Address.String(), User: a.User, HostKeys: a.HostKeys, Proxy: a.Proxy}}, nil
	})
}

func (s *Server) nodesOf(ctx context.Context, name string, seen bool) ([]engine.NodeStatus, error) {
	if !seen {
		return s.engine.Nodes(ctx, name)
	}
	c, err := s.engine.Cluster(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.engine.SeenNodes(ctx, c)
}

func (s *Server) runs(api huma.API) {
	get(api, "/clusters/{name}/resources", "List what the cluster has in its accounts, by key", func(ctx context.Context, in *pageByName) (*listed[Resource], error) {
		c, err := s.engine.Cluster(ctx, in.Name)
		if err != nil {
			return nil, err
		}
		list, limit := "resources/"+c.UID, in.limit(usualPage)
		after, err := parseCursor(list, in.Cursor)
		if err != nil {
			return nil, err
		}
		all, err := s.engine.Store().ResourcesAfter(ctx, c.UID, after, limit+1)
		if err != nil {
			return nil, err
		}
		return pageOf(list, limit, all, func(r store.Resource) string { return r.Key }, func(r store.Resource) (Resource, error) {
			return Resource{Key: r.Key, Kind: r.Kind, Site: r.Site, Region: r.Region, ID: r.ID, Made: r.Made}, nil
		})
	})
	get(api, "/clusters/{name}/runs", "List runs, the newest first", func(ctx context.Context, in *struct {
		Name   string `path:"name"`
		Limit  int    `query:"limit" default:"20" minimum:"1" maximum:"200"`
		Cursor string `query:"cursor" maxLength:"500" doc:"the next of the page before"`
	}) (*listed[Run], error) {
		c, err := s.engine.Cluster(ctx, in.Name)
		if err != nil {
			return nil, err
		}
		before, err := parseIDCursor("runs/"+c.UID, in.Cursor)
		if err != nil {
			return nil, err
		}
		all, err := s.engine.Store().RunsBefore(ctx, c.UID, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		steps, err := s.engine.Store().CountSteps(ctx, c.UID, before, in.Limit)
		if err != nil {
			return nil, err
		}
		return pageOf("runs/"+c.UID, in.Limit, all, func(r store.Run) string { return idKey(r.ID) }, func(r store.Run) (Run, error) {
			v := runOf(r, nil, c.Name)
			v.Total, v.Done = steps[r.ID].Total, steps[r.ID].Done
			return v, nil
		})
	})
	get(api, "/runs/{id}", "Get a run with its steps", func(ctx context.Context, in *struct {
		ID int64 `path:"id"`
	}) (*body[Run], error) {
		v, err := s.run(ctx, in.ID)
		return &body[Run]{v}, err
	})
}

func (s *Server) run(ctx context.Context, id int64) (Run, error) {
	r, steps, err := s.engine.Store().GetRun(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		err = &engine.Problem{Kind: engine.Missing, Message: fmt.Sprintf("there is no run %d", id)}
	}
	if err != nil {
		return Run{}, err
	}
	at, err := s.engine.Store().GetClusterByUID(ctx, r.Cluster)
	if err != nil {
		return Run{}, err
	}
	return runOf(r, steps, at.Name), nil
}

func runOf(r store.Run, steps []store.Step, cluster string) Run {
	v := Run{ID: r.ID, Cluster: cluster, Reason: r.Reason, Started: r.Started, Ended: r.Ended, Outcome: r.Outcome, Error: r.Error, CallsBy: r.APICalls, Total: len(steps)}
	if v.Outcome == "" {
		v.Outcome = "running"
	}
	for _, n := range r.APICalls {
		v.Calls += n
	}
	for _, st := range steps {
		if st.State == store.StepDone {
			v.Done++
		}
		v.Steps = append(v.Steps, stepOf(st))
	}
	v.CriticalPath = CriticalPath(v.Steps)
	return v
}

func stepOf(st store.Step) RunStep {
	return RunStep{ID: st.ID, Action: st.Action, Kind: st.Kind, Key: st.Key, Site: st.Site, Reason: st.Reason, Phase: st.Phase, State: string(st.State), Error: st.Error, Started: st.Started, Ended: st.Ended, After: st.Depends}
}
