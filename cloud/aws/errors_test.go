package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/skyweld/skyweld/cloud"
)

func TestClassOfCode(t *testing.T) {
	for class, list := range map[cloud.Class]string{
		cloud.Throttled: "RequestLimitExceeded Throttling ThrottlingException EC2ThrottledException",
		cloud.Conflict: "DependencyViolation InvalidGroup.InUse InvalidIPAddress.InUse InvalidNetworkInterface.InUse VolumeInUse " +
			"IncorrectInstanceState Resource.AlreadyAssociated InvalidSubnet.Conflict OperationNotPermitted",
		cloud.NotFound: "InvalidVpcID.NotFound InvalidInstanceID.NotFound InvalidAllocationID.NotFound InvalidGroup.NotFound " +
			"InvalidRouteTableID.NotFound InvalidAssociationID.NotFound Gateway.NotAttached InvalidVolume.NotFound",
		cloud.AlreadyExists: "InvalidGroup.Duplicate RouteAlreadyExists InvalidPermission.Duplicate InvalidKeyPair.Duplicate",
		cloud.Denied: "UnauthorizedOperation AuthFailure InvalidClientTokenId SignatureDoesNotMatch ExpiredToken RequestExpired " +
			"OptInRequired PendingVerification AccessDenied",
		cloud.QuotaExceeded: "VcpuLimitExceeded AddressLimitExceeded VpcLimitExceeded InternetGatewayLimitExceeded InstanceLimitExceeded " +
			"SecurityGroupLimitExceeded RulesPerSecurityGroupLimitExceeded VolumeLimitExceeded SubnetLimitExceeded",
		cloud.Capacity: "InsufficientInstanceCapacity InsufficientAddressCapacity InsufficientFreeAddressesInSubnet InsufficientVolumeCapacity",
		cloud.Invalid: "InvalidParameterValue InvalidSubnet.Range InvalidVpc.Range InvalidAMIID.Malformed MissingParameter Unsupported " +
			"IdempotentParameterMismatch InvalidParameterCombination InvalidInstanceID.Malformed",
		cloud.Unavailable: "InternalError ServiceUnavailable Unavailable RequestTimeout",
		cloud.Unknown:     "SomethingNeverSeen",
	} {
		for code := range strings.FieldsSeq(list) {
			if got := classOfCode(code, 0); got != class {
				t.Errorf("%s is %s, want %s", code, got, class)
			}
		}
	}
	for status, want := range map[int]cloud.Class{503: cloud.Unavailable, 429: cloud.Throttled, 403: cloud.Denied, 400: cloud.Invalid, 0: cloud.Unknown} {
		if got := classOfCode("UnknownError", status); got != want {
			t.Errorf("status %d is %s, want %s", status, got, want)
		}
	}
	if got := classOfCode("InsufficientInstanceCapacity", 500); got != cloud.Capacity {
		t.Errorf("the code must win over the status: %s", got)
	}
}

func answered(op, code, message string, status int, header http.Header) error {
	return &smithy.OperationError{ServiceID: "EC2", OperationName: op, Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: header}},
		Err:      &smithy.GenericAPIError{Code: code, Message: message},
	}}
}

func TestFailed(t *testing.T) {
	err := failed("create vpc demo-vpc", answered("CreateVpc", "UnauthorizedOperation",
		"You are not authorized to perform this operation. Encoded authorization failure message: aGVsbG8", 403, nil))
	if want := "create vpc demo-vpc: ec2:CreateVpc: You are not authorized to perform this operation. (UnauthorizedOperation)"; err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	if cloud.ClassOf(err) != cloud.Denied {
		t.Errorf("class %s", cloud.ClassOf(err))
	}
	err = failed("observe us-east-1", answered("DescribeVpcs", "RequestLimitExceeded", "slow down", 503, http.Header{"Retry-After": {"7"}}))
	if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Class != cloud.Throttled || e.RetryAfter != 7*time.Second {
		t.Errorf("throttled: %#v", err)
	}
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	err = failed("observe us-east-1", &smithy.OperationError{Err: &smithyhttp.RequestSendError{Err: refused}})
	if cloud.ClassOf(err) != cloud.Unavailable || !errors.Is(err, refused) {
		t.Errorf("network: %v is %s", err, cloud.ClassOf(err))
	}
	cut := &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: 200}}, Err: io.ErrUnexpectedEOF}
	if err = failed("observe us-east-1", cut); cloud.ClassOf(err) != cloud.Unavailable || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Errorf("answer cut off: %v is %s", err, cloud.ClassOf(err))
	}
	cut.Response.StatusCode, cut.Err = 502, errors.New("no XML")
	if err = failed("observe us-east-1", cut); cloud.ClassOf(err) != cloud.Unavailable || !strings.Contains(err.Error(), "the answer was 502 Bad Gateway") {
		t.Errorf("proxy: %v is %s", err, cloud.ClassOf(err))
	}
	err = failed("observe us-east-1", fmt.Errorf("wrapped: %w", &smithy.CanceledError{Err: context.Canceled}))
	if cloud.ClassOf(err) != cloud.Unknown || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v is %s", err, cloud.ClassOf(err))
	}
	if failed("anything", nil) != nil {
		t.Error("no error became one")
	}
}
