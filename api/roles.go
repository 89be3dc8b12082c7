package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/auth"
)

// roleExtension is where the API's document says which role an operation needs.
const roleExtension = "x-skyweld-role"

// roles has the operations that need another role than is usual: a viewer's to read, an operator's to write.
var roles = map[string]auth.Role{
	// Planning and measuring only look.
	"POST /plan":                      auth.Viewer,
	"POST /clusters/{name}/plan":      auth.Viewer,
	"POST /clusters/{name}/latency":   auth.Viewer,
	"POST /regions/measurements/plan": auth.Viewer,
	// These lead into a cluster.
	"GET /clusters/{name}/kubeconfig": auth.Operator,
	// These show all that somebody has at a cloud.
	"GET /accounts/{name}/check":     auth.Operator,
	"GET /accounts/{name}/inventory": auth.Operator,

	"POST /accounts":                   auth.Admin,
	"POST /accounts/{name}":            auth.Admin,
	"DELETE /accounts/{name}":          auth.Admin,
	"POST /accounts/{name}/sweep-plan": auth.Admin,
	"POST /accounts/{name}/sweeps":     auth.Admin,
	"GET /sweeps/{id}":                 auth.Admin,
	"POST /backup":                     auth.Admin,

	"GET /users":            auth.Admin,
	"POST /users":           auth.Admin,
	"GET /users/{name}":     auth.Admin,
	"POST /users/{name}":    auth.Admin,
	"DELETE /users/{name}":  auth.Admin,
	"GET /tokens":           auth.Admin,
	"POST /tokens":          auth.Admin,
	"DELETE /tokens/{name}": auth.Admin,
	"POST /links":           auth.Admin,
	"GET /audit":            auth.Admin,
	// Everybody has one.
	"POST /me/password": auth.Viewer,
}

// roleFor is the role that an operation needs.
func roleFor(method, path string) auth.Role {
	if r, ok := roles[method+" "+path]; ok {
		return r
	}
	if method == http.MethodGet {
		return auth.Viewer
	}
	return auth.Operator
}

// permit lets only those through who have the role that an operation needs.
func permit(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		// One that declares none is nobody's.
		need, _ := ctx.Operation().Extensions[roleExtension].(auth.Role)
		if p := auth.From(ctx.Context()); !p.Role.Includes(need) {
			err := errors.New(lacks(ctx.Operation().Summary, need, p))
			if n := noteOf(ctx.Context()); n != nil {
				n.err = err
			}
			_ = huma.WriteErr(api, ctx, http.StatusForbidden, err.Error())
			return
		}
		next(ctx)
	}
}

func lacks(what string, need auth.Role, p auth.Principal) string {
	has := "no role"
	if p.Role.Valid() {
		has = "the role " + string(p.Role)
	}
	return fmt.Sprintf("%q needs the role %s, and you have %s (%s)", what, need, has, p.Via)
}
