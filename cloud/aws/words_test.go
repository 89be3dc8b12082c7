package aws

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/skyweld/skyweld/cloud"
)

// TestWords reads what is said about errors: never the SDK's own words around them, and the missing permission or bad
// credentials named.
func TestWords(t *testing.T) {
	way := &smithy.OperationError{ServiceID: "EC2", OperationName: "DescribeVpcs", Err: &smithyhttp.RequestSendError{
		Err: &url.Error{Op: "Post", URL: "https://ec2.example/", Err: fmt.Errorf("dial tcp: %w", syscall.ECONNREFUSED)},
	}}
	odd := &smithy.OperationError{ServiceID: "EC2", OperationName: "CreateVpc", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: 200}},
		Err:      &smithy.DeserializationError{Err: errors.New("the XML ends too early")},
	}}
	for _, test := range []struct {
		err         error
		class       cloud.Class
		want        string
		action      string
		credentials bool
	}{
		{way, cloud.Unavailable, "nothing listens at ec2.example (connection refused)", "", false},
		{odd, cloud.Unknown, "ec2:CreateVpc: deserialization failed, the XML ends too early", "", false},
		{answered("CreateVpc", "UnauthorizedOperation", "You are not authorized", 403, nil), cloud.Denied, "ec2:CreateVpc: You are not authorized", "ec2:CreateVpc", false},
		{answered("DescribeVpcs", "AuthFailure", "AWS was not able to validate the provided access credentials", 401, nil), cloud.Denied, "the credentials are not valid: AWS", "", true},
		{answered("RunInstances", "AuthFailure", "Not authorized for images: [ami-1]", 403, nil), cloud.Denied, "Not authorized for images", "", false},
		{answered("DescribeVpcs", "ExpiredToken", "it is over", 400, nil), cloud.Denied, "the credentials have expired: it is over", "", true},
		{answered("DescribeVpcs", "RequestExpired", "Request has expired.", 400, nil), cloud.Denied, "check this machine's clock", "", true},
		{answered("DescribeVpcs", "InvalidClientTokenId", "invalid", 403, nil), cloud.Denied, "the credentials are not valid: invalid", "", true},
	} {
		e, ok := errors.AsType[*cloud.Error](failed("observe us-east-1", test.err))
		if !ok || e.Class != test.class || e.Action != test.action || e.Credentials != test.credentials || !strings.Contains(e.Error(), test.want) {
			t.Errorf("%v:\nclass %s, action %q, credentials %v: %v; want %q", test.err, e.Class, e.Action, e.Credentials, e, test.want)
		}
		for _, bare := range []string{"operation error", "https response error", "StatusCode", "dial tcp"} {
			if strings.Contains(e.Error(), bare) {
				t.Errorf("the SDK's words are shown: %v", e)
			}
		}
	}
}
