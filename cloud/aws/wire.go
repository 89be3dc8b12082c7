package aws

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"

	"github.com/skyweld/skyweld/cloud"
)

// wire is the way to Amazon, for who paces the calls on it.
func wire(next http.RoundTripper) cloud.Wire {
	return cloud.Wire{RoundTripper: next, Scope: scopeOf, Judge: judge}
}

// Amazon documents for EC2 ("Request throttling for the Amazon EC2 API"), for each action, account and region, buckets of
// 100 calls that read with 20 a second more, and of 50 that change something with 5 a second more. What a site takes is
// spread over a dozen actions of either sort.
const (
	readRate, readBurst     = 20, 60
	changeRate, changeBurst = 10, 60
)

// scopeOf names service and region as the SDK has them for the call, and tells EC2's reading calls from those that change
// something, which Amazon counts apart.
func scopeOf(r *http.Request) cloud.Scope {
	out := cloud.Scope{
		Region: awsmiddleware.GetSigningRegion(r.Context()), Family: strings.ToLower(middleware.GetServiceID(r.Context())),
		Rate: readRate, Burst: readBurst,
	}
	if out.Region == "" {
		out.Region = awsmiddleware.GetRegion(r.Context())
	}
	if out.Family != "ec2" {
		return out
	}
	action := middleware.GetOperationName(r.Context())
	if strings.HasPrefix(action, "Describe") || strings.HasPrefix(action, "Get") || strings.HasPrefix(action, "List") {
		out.Family += " read"
		return out
	}
	out.Family, out.Rate, out.Burst = out.Family+" write", changeRate, changeBurst
	return out
}

// judge reads the code and message of an answer of EC2, STS or Service Quotas, and classifies them as the SDK's errors are.
func judge(answer *http.Response) (*cloud.Error, error) {
	body, err := cloud.PeekBody(answer)
	if err != nil {
		return nil, err
	}
	out := errorOf(body)
	out.Class, out.RetryAfter = classOfCode(out.Code, answer.StatusCode), cloud.RetryAfter(answer.Header)
	if out.Class == cloud.Denied {
		out.denied(nil)
	}
	return &out.Error, nil
}

// errorOf reads the forms that the services' errors have: EC2's and STS' XML, Service Quotas' JSON. What is neither has no
// code.
func errorOf(body []byte) *answer {
	type said struct {
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	var ec2 struct {
		Error said `xml:"Errors>Error"`
	}
	if xml.Unmarshal(body, &ec2) == nil && ec2.Error.Code != "" {
		return &answer{cloud.Error{Code: ec2.Error.Code, Message: ec2.Error.Message}}
	}
	var sts struct {
		Error said `xml:"Error"`
	}
	if xml.Unmarshal(body, &sts) == nil && sts.Error.Code != "" {
		return &answer{cloud.Error{Code: sts.Error.Code, Message: sts.Error.Message}}
	}
	var quotas struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &quotas) == nil && quotas.Type != "" {
		return &answer{cloud.Error{Code: quotas.Type[strings.LastIndexByte(quotas.Type, '#')+1:], Message: quotas.Message}}
	}
	return &answer{}
}
