package ec2

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/skyweld/skyweld/lab/ec2/internal/query"
	"github.com/skyweld/skyweld/lab/fault"
)

// Dialect says how EC2's and STS' requests and errors read, for faults on request.
func (s *Service) Dialect() fault.Dialect { return dialect{s} }

type dialect struct{ *Service }

// Request names an action as IAM's policies do: "ec2:RunInstances", "sts:GetCallerIdentity",
// "servicequotas:GetServiceQuota".
func (d dialect) Request(r *http.Request) fault.Request {
	scope, _ := query.ReadScope(r)
	if operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), quotasTarget); ok {
		return fault.Request{Action: quotasService + ":" + operation, Region: scope.Region}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	if err != nil {
		return fault.Request{} // the handler finds out for itself
	}
	form, err := readForm(r, body)
	if err != nil || form.Get("Action") == "" {
		return fault.Request{}
	}
	service := "ec2"
	if scope.Service == "sts" || scope.Service == "" && form.Get("Version") == stsVersion {
		service = "sts"
	}
	return fault.Request{Action: service + ":" + form.Get("Action"), Region: scope.Region, DryRun: strings.EqualFold(form.Get("DryRun"), "true"), List: isList(form)}
}

// byID is a parameter that asks for one thing by its id.
var byID = regexp.MustCompile(`^[A-Za-z]+Ids?\.1$`)

// isList says whether an action asks what there is.
func isList(form url.Values) bool {
	for name := range form {
		if byID.MatchString(name) {
			return false
		}
	}
	return strings.HasPrefix(form.Get("Action"), "Describe")
}

// unfinished are the states of instances that are done with something, and those before them.
var unfinished = strings.NewReplacer(
	"<code>16</code><name>running</name>", "<code>0</code><name>pending</name>",
	"<code>48</code><name>terminated</name>", "<code>32</code><name>shutting-down</name>",
	"<code>80</code><name>stopped</name>", "<code>64</code><name>stopping</name>",
)

// Unfinished has instances still start, stop or end. EC2 has no other operations that take their time.
func (d dialect) Unfinished(_ *http.Request, a *fault.Answer) bool {
	before := string(a.Body)
	after := unfinished.Replace(before)
	a.Body = []byte(after)
	return after != before
}

// quotas are the errors of the actions that a quota limits, as "Error codes for the Amazon EC2 API" has them.
var quotas = map[string][2]string{
	"CreateVpc": {"VpcLimitExceeded", "The maximum number of VPCs has been reached."}, "CreateDefaultVpc": {"VpcLimitExceeded", "The maximum number of VPCs has been reached."},
	"CreateSubnet":                  {"SubnetLimitExceeded", "The maximum number of subnets has been reached."},
	"CreateInternetGateway":         {"InternetGatewayLimitExceeded", "The maximum number of internet gateways has been reached."},
	"CreateRouteTable":              {"RouteTableLimitExceeded", "The maximum number of route tables has been reached."},
	"CreateRoute":                   {"RouteLimitExceeded", "The maximum number of routes has been reached."},
	"CreateSecurityGroup":           {"SecurityGroupLimitExceeded", "The maximum number of security groups has been reached."},
	"AuthorizeSecurityGroupIngress": {"RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached."},
	"AuthorizeSecurityGroupEgress":  {"RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached."},
	"AllocateAddress":               {"AddressLimitExceeded", "The maximum number of addresses has been reached."},
	"CreateVolume":                  {"VolumeLimitExceeded", "The maximum number of volumes has been reached."},
	"CreateTags":                    {"TagLimitExceeded", "The maximum number of Tags for a resource has been reached."},
	"RunInstances":                  {"VcpuLimitExceeded", vcpuText}, "StartInstances": {"VcpuLimitExceeded", vcpuText},
}

const (
	vcpuText = "You have requested more vCPU capacity than your current vCPU limit of 0 allows for the instance bucket that the specified instance type " +
		"belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
	roomText = "We currently do not have sufficient capacity in the Availability Zone you requested. Our system will be working on provisioning additional " +
		"capacity. You can currently get capacity by not specifying an Availability Zone in your request or choosing another one."
)

// shortages are the errors of the actions that need something the cloud may have run out of; its "server error codes".
var shortages = map[string][2]string{
	"RunInstances":    {"InsufficientInstanceCapacity", roomText},
	"StartInstances":  {"InsufficientInstanceCapacity", roomText},
	"CreateVolume":    {"InsufficientVolumeCapacity", "There is not enough capacity to fulfill your volume request."},
	"AllocateAddress": {"InsufficientAddressCapacity", "Not enough addresses available to satisfy the request"},
}

// Refuse answers with the error of a kind that the action's service has.
func (d dialect) Refuse(w http.ResponseWriter, _ *http.Request, what fault.Request, kind fault.Kind) bool {
	service, action, _ := strings.Cut(what.Action, ":")
	id := newRequestID()
	switch service {
	case "sts":
		return d.refuseSTS(w, id, action, kind)
	case quotasService:
		return d.refuseQuotas(w, id, action, kind)
	}
	e := &apiError{Status: http.StatusBadRequest}
	switch kind {
	case fault.Throttle:
		*e = apiError{Code: "RequestLimitExceeded", Message: "Request limit exceeded.", Status: http.StatusServiceUnavailable}
	case fault.Deny:
		*e = apiError{Code: "UnauthorizedOperation", Message: d.denial(action), Status: http.StatusForbidden}
	case fault.Expire:
		e.Code, e.Message = "RequestExpired", "Request has expired."
	case fault.Quota:
		e.Code, e.Message = quotas[action][0], quotas[action][1]
	case fault.Capacity:
		*e = apiError{Code: shortages[action][0], Message: shortages[action][1], Status: http.StatusInternalServerError}
	case fault.Error:
		*e = apiError{Code: "InternalError", Message: "An internal error has occurred", Status: http.StatusInternalServerError}
	}
	if e.Code == "" {
		return false
	}
	w.Header().Set("X-Amzn-Requestid", id)
	writeError(w, id, e)
	return true
}

// denial is the message to who lacks a permission. That of a change has an encoded part, which only
// sts:DecodeAuthorizationMessage reads; here nothing is in it.
func (d dialect) denial(action string) string {
	text := fmt.Sprintf("You are not authorized to perform this operation. User: arn:aws:iam::%s:user/lab is not authorized to perform: ec2:%s "+
		"because no identity-based policy allows the ec2:%s action", d.cfg.AccountID, action, action)
	if strings.HasPrefix(action, "Describe") || strings.HasPrefix(action, "Get") {
		return text
	}
	var b [270]byte
	rand.Read(b[:]) // never fails
	return text + ". Encoded authorization failure message: " + base64.RawURLEncoding.EncodeToString(b[:])
}

// refuseSTS knows nothing of quotas, nor of who may not ask who they are: that needs no permission.
func (d dialect) refuseSTS(w http.ResponseWriter, id, action string, kind fault.Kind) bool {
	w.Header().Set("X-Amzn-Requestid", id)
	switch {
	case kind == fault.Throttle:
		writeSTSError(w, id, http.StatusBadRequest, "Throttling", "Rate exceeded")
	case kind == fault.Deny && action != "GetCallerIdentity":
		writeSTSError(w, id, http.StatusForbidden, "AccessDenied", fmt.Sprintf("User: arn:aws:iam::%s:user/lab is not authorized to perform: sts:%s", d.cfg.AccountID, action))
	case kind == fault.Expire:
		writeSTSError(w, id, http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
	case kind == fault.Error:
		writeSTSError(w, id, http.StatusInternalServerError, "InternalFailure", "We encountered an internal error. Please try again.")
	default:
		w.Header().Del("X-Amzn-Requestid")
		return false
	}
	return true
}

// refuseQuotas refuses as Service Quotas does, in its own protocol.
func (d dialect) refuseQuotas(w http.ResponseWriter, id, action string, kind fault.Kind) bool {
	status, code, text := http.StatusBadRequest, "", ""
	switch kind {
	case fault.Throttle:
		code, text = "TooManyRequestsException", "Rate exceeded"
	case fault.Deny:
		code = "AccessDeniedException"
		text = fmt.Sprintf("User: arn:aws:iam::%s:user/lab is not authorized to perform: servicequotas:%s", d.cfg.AccountID, action)
	case fault.Expire:
		code, text = "ExpiredTokenException", "The security token included in the request is expired"
	case fault.Error:
		status, code, text = http.StatusInternalServerError, "ServiceException", "Something went wrong."
	default:
		return false
	}
	w.Header().Set("X-Amzn-Requestid", id)
	writeJSONError(w, status, code, text)
	return true
}
