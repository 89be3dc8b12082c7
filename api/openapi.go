package api

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/auth"
)

// apiAbout is what the API's document says of it as a whole.
const apiAbout = "What the console and the command line do is done by this API.\n\n" +
	"A write that is accepted is answered 202 with a change to follow, at Location. Every write takes an Idempotency-Key: sent again with it, " +
	"it is done once. Lists that grow come in pages. A cluster has an ETag, and writes of its spec take If-Match. /api/v1/stream tells of everything as it happens, as server-sent events. " +
	"Errors are problems (RFC 9457); docs/api.md has all of it in words."

// tags are the groups of operations, by the first part of their paths.
var tags = []*huma.Tag{
	{Name: "clusters", Description: "Clusters, and what is asked of them"},
	{Name: "accounts", Description: "Accounts at clouds"},
	{Name: "changes", Description: "What was asked for, and what became of it"},
	{Name: "runs", Description: "Passes of the engine over a cluster, step by step"},
	{Name: "stream", Description: "What happens, as it happens"},
	{Name: "places", Description: "Where clusters can be, and what that costs"},
	{Name: "receipts", Description: "What was there before a cluster and after it"},
	{Name: "people", Description: "Who may do what: users, tokens, and the audit log"},
	{Name: "engine", Description: "The engine itself"},
}

var tagOf = map[string]string{
	"clusters": "clusters", "plan": "clusters", "accounts": "accounts", "sweeps": "accounts", "changes": "changes", "runs": "runs", "stream": "stream",
	"receipts": "receipts", "receipt-key": "receipts", "users": "people", "tokens": "people", "links": "people", "me": "people", "audit": "people",
	"places": "places", "regions": "places", "metros": "places", "sizes": "places", "prices": "places", "cost": "places", "costs": "places", "estimate": "places",
}

// about makes the configuration of the API, with what its document says of it as a whole.
func about() huma.Config {
	cfg := huma.DefaultConfig("Skyweld", "v1")
	cfg.DocsPath = ""
	cfg.SchemasPath = ""
	cfg.CreateHooks = nil // no $schema in answers
	cfg.RejectUnknownQueryParameters = true
	// Signs that mean something in HTML are escaped: what somebody called a thing stays text wherever an answer ends up.
	escaped := huma.Format{Marshal: func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }, Unmarshal: huma.DefaultJSONFormat.Unmarshal}
	cfg.Formats = map[string]huma.Format{"application/json": escaped, "json": escaped}
	cfg.Transformers = []huma.Transformer{words(cfg.Components.Schemas)}
	cfg.Info.Description = apiAbout
	cfg.Info.License = &huma.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"}
	cfg.Tags = tags
	cfg.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "the token in the engine's folder, or one made with POST /api/v1/tokens"},
		"session": {Type: "apiKey", In: "cookie", Name: auth.SessionCookie, Description: "who is signed in to the console; writes also need the header " + auth.CSRFHeader + ", or to come from the engine's own pages"},
	}
	return cfg
}

// describe adds what an operation's document says by what it is.
func describe(op *huma.Operation) {
	path := strings.TrimPrefix(op.Path, "/api/v1/")
	first, _, _ := strings.Cut(path, "/")
	tag := tagOf[first]
	if tag == "" {
		tag = "engine"
	}
	op.Tags = []string{tag}
	op.Errors = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity}
	may := func(status ...int) { op.Errors = append(op.Errors, status...) }
	if strings.Contains(op.Path, "{") || first == "stream" {
		may(http.StatusNotFound)
	}
	if first == "accounts" || first == "plan" || strings.HasSuffix(path, "/plan") || strings.HasSuffix(path, "/ssh") || op.Method == http.MethodPost && strings.HasSuffix(path, "/latency") {
		may(http.StatusBadGateway)
	}
	if op.Method == http.MethodGet {
		if first == "stream" || strings.HasSuffix(path, "/kubeconfig") || strings.HasSuffix(path, "/inventory") {
			may(http.StatusConflict)
		}
		slices.Sort(op.Errors)
		op.Errors = slices.Compact(op.Errors)
		return
	}
	may(http.StatusConflict)
	if op.Method == http.MethodPost {
		may(http.StatusRequestEntityTooLarge)
	}
	if conditionalPaths[op.Method+" /"+path] {
		may(http.StatusPreconditionFailed)
	}
	if first == "me" || first == "links" || first == "tokens" || first == "users" {
		may(http.StatusNotFound, http.StatusTooManyRequests)
	}
	may(http.StatusServiceUnavailable, http.StatusInsufficientStorage)
	slices.Sort(op.Errors)
	op.Errors = slices.Compact(op.Errors)
	if slices.Contains(repeatable, op.Method+" /"+path) {
		return
	}
	shortest, longest := 1, longestKey
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: keyHeader, In: "header", Description: "a random text for each request that isn't a repetition: sent again with it within a day, the write is done once", Example: "0b4de2f7c1",
		Schema: &huma.Schema{Type: huma.TypeString, MinLength: &shortest, MaxLength: &longest, Pattern: "^[!-~]+$"},
	})
}

// conditionalPaths are the operations that take If-Match.
var conditionalPaths = map[string]bool{
	"POST /clusters": true, "DELETE /clusters/{name}": true, "POST /clusters/{name}/nodes": true, "DELETE /clusters/{name}/nodes/{node}": true,
}

// answers says what an operation answers with that isn't JSON.
func answers(kind, what string, schema *huma.Schema) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.Responses = map[string]*huma.Response{"200": {Description: what, Content: map[string]*huma.MediaType{kind: {Schema: schema}}}}
	}
}
