package azure

import (
	"errors"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/skyweld/skyweld/cloud"
)

// wire is the way to Azure, for who paces the calls on it.
func wire(next http.RoundTripper) cloud.Wire {
	return cloud.Wire{RoundTripper: next, Scope: scopeOf, Judge: judge}
}

// Resource Manager's page on throttling has, for each subscription and region, buckets of 250 reads with 25 a second more,
// and of 200 writes and 200 deletions with 10 a second more.
const (
	readRate, readBurst     = 20, 60
	changeRate, changeBurst = 8, 60
)

// scopeOf reads off a request's path which resource provider it goes to, which counts calls too, and in what way it is
// counted. Few paths name a region.
func scopeOf(r *http.Request) cloud.Scope {
	out := cloud.Scope{Region: cloud.Global, Rate: readRate, Burst: readBurst}
	switch {
	case isLogin(r):
		out.Family = "login"
		return out
	case !isManager(r):
		out.Family = "other"
		return out
	}
	out.Family = "Microsoft.Resources"
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	for i, p := range parts[:len(parts)-1] {
		switch strings.ToLower(p) {
		case "providers":
			out.Family = namespace(parts[i+1])
		case "locations":
			out.Region = strings.ToLower(parts[i+1])
		}
	}
	switch {
	case cloud.Reads(r):
		out.Family += " read"
	case r.Method == http.MethodDelete:
		out.Family, out.Rate, out.Burst = out.Family+" delete", changeRate, changeBurst
	default:
		out.Family, out.Rate, out.Burst = out.Family+" write", changeRate, changeBurst
	}
	return out
}

// namespace is how a resource provider's name is written, whose letters' case means nothing to Azure.
func namespace(name string) string {
	for _, known := range []string{"Microsoft.Compute", "Microsoft.Network", "Microsoft.Resources"} {
		if strings.EqualFold(known, name) {
			return known
		}
	}
	return strings.ToLower(name)
}

// isLogin says that a request is about access tokens: to the directory, or to a machine's own identity.
func isLogin(r *http.Request) bool {
	path := strings.ToLower(r.URL.Path)
	return strings.Contains(path, "/oauth2/") || strings.HasSuffix(path, "/openid-configuration") || strings.HasSuffix(path, "/discovery/instance")
}

// isManager says that a request is to Resource Manager, all of whose paths begin with one of these. Others are about
// tokens, or for boot logs to storage.
func isManager(r *http.Request) bool {
	path := strings.ToLower(r.URL.Path)
	return strings.HasPrefix(path, "/subscriptions") || strings.HasPrefix(path, "/providers")
}

// judge classifies an answer as the SDK's errors are.
func judge(answer *http.Response) (*cloud.Error, error) {
	copied, err := cloud.Peek(answer)
	if err != nil {
		return nil, err
	}
	switch {
	case answer.Request == nil || isManager(answer.Request):
	case isLogin(answer.Request):
		return classifyLogin(&azidentity.AuthenticationFailedError{RawResponse: copied}), nil
	default:
		return nil, nil // whoever may not read a boot log may do all else
	}
	e, ok := errors.AsType[*azcore.ResponseError](runtime.NewResponseError(copied))
	if !ok {
		return nil, nil
	}
	out := classifyAnswer(e)
	out.Credentials = out.Credentials || answer.StatusCode == http.StatusUnauthorized
	return out, nil
}
