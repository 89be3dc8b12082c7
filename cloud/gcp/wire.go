package gcp

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"github.com/skyweld/skyweld/cloud"
)

// wire is the way to Google, for who paces the calls on it; tokenURI is where access tokens come from.
func wire(next http.RoundTripper, tokenURI string) cloud.Wire {
	isLogin := func(r *http.Request) bool {
		u, err := url.Parse(tokenURI)
		return err == nil && r != nil && r.Method == http.MethodPost && r.URL.Host == u.Host && r.URL.Path == u.Path
	}
	return cloud.Wire{
		RoundTripper: next,
		Scope: func(r *http.Request) cloud.Scope {
			if isLogin(r) {
				return cloud.Scope{Region: cloud.Global, Family: "login", Rate: rate, Burst: burst}
			}
			return scopeOf(r)
		},
		Judge: func(answer *http.Response) (*cloud.Error, error) {
			if !isLogin(answer.Request) {
				return judge(answer)
			}
			body, err := cloud.PeekBody(answer)
			if err != nil {
				return nil, err
			}
			return classifyToken(&oauth2.RetrieveError{Response: answer, Body: body}), nil
		},
	}
}

// Compute Engine's page of API rate limits has 1,500 calls a minute for each project and region, for most groups of methods.
const rate, burst = 18, 60

// scopeOf reads off a request's path which region it is about, and which group of methods Compute Engine counts it to: those
// that read, those that change something, and those about operations.
func scopeOf(r *http.Request) cloud.Scope {
	out := cloud.Scope{Region: cloud.Global, Family: "compute write", Rate: rate, Burst: burst}
	parts := strings.Split(r.URL.Path, "/")
	for i, p := range parts[:len(parts)-1] {
		switch p {
		case "zones":
			out.Region = regionOf(parts[i+1])
		case "regions":
			out.Region = parts[i+1]
		}
	}
	switch last := parts[len(parts)-1]; {
	case strings.Contains(r.URL.Path, "/operations/"):
		out.Family = "compute operations"
	case strings.HasSuffix(last, ":testIamPermissions"):
		out.Family = "resource manager"
	case cloud.Reads(r):
		out.Family = "compute read"
	}
	return out
}

// judge classifies an answer of the API as the SDK's errors are.
func judge(answer *http.Response) (*cloud.Error, error) {
	copied, err := cloud.Peek(answer)
	if err != nil {
		return nil, err
	}
	e, ok := errors.AsType[*googleapi.Error](googleapi.CheckResponse(copied))
	if !ok {
		return nil, nil
	}
	return classifyAnswer(e), nil
}
