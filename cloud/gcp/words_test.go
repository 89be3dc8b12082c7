package gcp

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/oauth2"

	"github.com/skyweld/skyweld/cloud"
)

// TestWords reads what is said about errors: the missing permission or bad credentials named, and no bare error of the way.
func TestWords(t *testing.T) {
	for _, test := range []struct {
		err         error
		class       cloud.Class
		want        string
		action      string
		credentials bool
	}{
		{
			&url.Error{Op: "Get", URL: "https://compute.example/x", Err: fmt.Errorf("dial tcp: %w", syscall.ECONNREFUSED)},
			cloud.Unavailable, "nothing listens at compute.example (connection refused)", "", false,
		},
		{
			answered(403, "forbidden", "Required 'compute.instances.create' permission for 'projects/p/zones/z/instances/i'", nil),
			cloud.Denied, "Required 'compute.instances.create' permission", "compute.instances.create", false,
		},
		{answered(401, "authError", "Request had invalid authentication credentials.", nil), cloud.Denied, "the credentials are not valid: Request", "", true},
		{&oauth2.RetrieveError{Body: []byte(`{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`)}, cloud.Denied, "the credentials were refused: Token has been expired", "", true},
	} {
		e, ok := errors.AsType[*cloud.Error](failed("observe us-east4", test.err))
		if !ok || e.Class != test.class || e.Action != test.action || e.Credentials != test.credentials || !strings.Contains(e.Error(), test.want) {
			t.Errorf("%v:\nclass %s, action %q, credentials %v: %v; want %q", test.err, e.Class, e.Action, e.Credentials, e, test.want)
		}
		if strings.Contains(e.Error(), "dial tcp") {
			t.Errorf("the SDK's words are shown: %v", e)
		}
	}
}
