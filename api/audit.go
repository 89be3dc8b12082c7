package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/crypto/ssh"

	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// Of all operations those that write are audited, with these exceptions.
var (
	// onlyLook are operations that have a body, or some work to do, and change nothing.
	onlyLook = []string{"POST /plan", "POST /clusters/{name}/plan", "POST /clusters/{name}/latency", "POST /accounts/{name}/sweep-plan"}
	// handOut are those that change nothing and give secrets away.
	handOut = []string{"GET /clusters/{name}/kubeconfig"}
)

func audits(method, path string) bool {
	if op := method + " " + path; method == http.MethodGet || slices.Contains(onlyLook, op) {
		return slices.Contains(handOut, op)
	}
	return true
}

// note is what an operation tells the audit log about itself.
type note struct {
	server        *Server
	object        string
	before, after any
	// asked is what was asked for that the object's state doesn't show.
	asked map[string]any
	err   error
}

type noteKey struct{}

func noteOf(ctx context.Context) *note {
	n, _ := ctx.Value(noteKey{}).(*note)
	return n
}

// audit writes an entry for each operation that is audited, whatever becomes of it, and whether whoever asked is still there.
func (s *Server) audit(ctx huma.Context, next func(huma.Context)) {
	op := ctx.Operation()
	path := strings.TrimPrefix(op.Path, "/api/v1")
	if !audits(op.Method, path) {
		next(ctx)
		return
	}
	n := &note{server: s, object: objectOf(path, ctx.Param)}
	whole := false
	defer func() {
		e := store.AuditEntry{Operation: op.Method + " " + path, Object: n.object, Status: ctx.Status()}
		switch {
		case !whole:
			e.Status, e.Error = http.StatusInternalServerError, "the engine could not finish it: its log says why"
		case n.err != nil:
			e.Error = n.err.Error()
		case e.Status >= 400:
			e.Error = http.StatusText(e.Status)
		}
		e.Before, e.After = n.difference()
		s.auth.Record(ctx.Context(), e)
	}()
	next(huma.WithValue(ctx, noteKey{}, n))
	whole = true
}

// objectOf is what a path is about: "cluster/demo/node/demo-web-1".
func objectOf(path string, param func(string) string) string {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	var out []string
	for i, s := range segments {
		if name, ok := strings.CutPrefix(s, "{"); ok && i > 0 {
			out = append(out, strings.TrimSuffix(segments[i-1], "s"), param(strings.TrimSuffix(name, "}")))
		}
	}
	return strings.Join(out, "/")
}

// named is a body that names what it makes.
type named interface{ object() string }

// telling is a body that says more than the object's state does, without secrets.
type telling interface{ tells() map[string]any }

// begin looks at what an operation is about to change.
func (n *note) begin(ctx context.Context, in any) {
	if n == nil {
		return
	}
	n.asked = map[string]any{}
	v := reflect.ValueOf(in).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("query"); name != "" && !v.Field(i).IsZero() {
			n.asked[name] = v.Field(i).Interface()
		}
	}
	if body := v.FieldByName("Body"); body.IsValid() {
		if b, ok := body.Interface().(named); ok && n.object == "" {
			n.object = b.object()
		}
		if b, ok := body.Interface().(telling); ok {
			maps.Copy(n.asked, b.tells())
		}
	}
	n.before = n.state(ctx)
}

// end looks at what it has changed.
func (n *note) end(ctx context.Context, err error) {
	if n == nil {
		return
	}
	if n.err = err; err != nil {
		n.after = n.before
		return
	}
	n.after = n.state(context.WithoutCancel(ctx))
}

// state is what can be seen of the object, without secrets; nil for one that there isn't.
func (n *note) state(ctx context.Context) any {
	s := n.server
	kind, rest, _ := strings.Cut(n.object, "/")
	name, below, _ := strings.Cut(rest, "/")
	if number, ok := strings.CutPrefix(below, "change/"); ok || kind == "change" {
		return n.changeState(ctx, cmp.Or(number, name))
	}
	var v any
	var err error
	switch kind {
	case "cluster":
		v, err = s.clusterState(ctx, name)
	case "account":
		var a store.Account
		a, err = s.engine.Store().GetAccount(ctx, name)
		v = map[string]any{"provider": a.Provider, "settings": a.Settings, "proxy": shown(a.Proxy)}
	case "user":
		v, err = s.auth.User(ctx, name)
	case "token":
		v, err = s.auth.Token(ctx, name)
	}
	if err != nil { // mostly that there is none
		return nil
	}
	return v
}

// changeState is a change's, whose cluster is found out too.
func (n *note) changeState(ctx context.Context, number string) any {
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return nil
	}
	c, err := n.server.engine.Change(ctx, id)
	if err != nil {
		return nil
	}
	if at, err := n.server.engine.Store().GetClusterByUID(ctx, c.Cluster); err == nil {
		n.object = fmt.Sprintf("cluster/%s/change/%d", at.Name, id)
	}
	return map[string]any{"state": c.State}
}

// clusterState is what people can change of a cluster: what was asked for last, if it isn't done yet too.
func (s *Server) clusterState(ctx context.Context, name string) (any, error) {
	wanted, at, err := s.engine.Latest(ctx, name)
	if err != nil {
		return nil, err
	}
	state := map[string]any{"spec": wanted.Spec}
	if at.Paused != nil {
		state["paused"] = map[string]any{"by": at.Paused.By, "reason": at.Paused.Reason}
	}
	if !at.DeleteRequested.IsZero() {
		state["deletion"] = "requested"
	}
	return state, nil
}

// difference is what changed, by field.
func (n *note) difference() (before, after json.RawMessage) {
	was, is := map[string]any{}, map[string]any{}
	flatten(was, "", n.before)
	flatten(is, "", n.after)
	for k, v := range is {
		if old, ok := was[k]; ok && reflect.DeepEqual(old, v) {
			delete(was, k)
			delete(is, k)
		}
	}
	maps.Copy(is, n.asked)
	return fields(was), fields(is)
}

func fields(m map[string]any) json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	data, err := json.Marshal(m)
	if err != nil { // values that came from JSON are JSON again
		return nil
	}
	return data
}

// flatten writes a value's leaves by their paths. Members of lists go by their names where they have some, so that one more
// at the beginning doesn't look like a change of all.
func flatten(into map[string]any, at string, v any) {
	if v == nil {
		return
	}
	if at == "" {
		data, err := json.Marshal(v)
		if err != nil || json.Unmarshal(data, &v) != nil {
			return
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flatten(into, strings.TrimPrefix(at+"."+k, "."), x)
		}
	case []any:
		for i, x := range v {
			key := fmt.Sprint(i)
			if m, ok := x.(map[string]any); ok {
				if name, ok := m["name"].(string); ok {
					key = name
				}
			}
			flatten(into, at+"["+key+"]", x)
		}
	default:
		into[at] = v
	}
}

func (f File) object() string {
	c, err := spec.Load([]byte(f.Cluster))
	if err != nil {
		return ""
	}
	return "cluster/" + c.Metadata.Name
}

func (a NewAccount) object() string { return "account/" + a.Name }

func credentials(secrets map[string]string, ca string) map[string]any {
	out := map[string]any{}
	if len(secrets) > 0 {
		out["credentials"] = "given"
	}
	if ca != "" {
		out["certificates"] = "given"
	}
	return out
}

func (a NewAccount) tells() map[string]any    { return credentials(a.Secrets, a.CA) }
func (a AccountUpdate) tells() map[string]any { return credentials(a.Secrets, a.CA) }

func (b BackupFor) tells() map[string]any {
	if b.Passphrase != "" {
		return map[string]any{"recipients": b.Recipients, "passphrase": "given"}
	}
	return map[string]any{"recipients": b.Recipients}
}

func (a SSHAsked) tells() map[string]any {
	key, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(a.PublicKey))
	if err != nil {
		return nil
	}
	return map[string]any{"publicKey": key.Type() + " " + ssh.FingerprintSHA256(key) + " " + comment}
}

func (a SweepAsked) tells() map[string]any {
	return map[string]any{"cluster": a.Cluster, "regions": a.Regions, "only": a.Only}
}
