package aws

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"slices"
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

// everybodys are the regions that every account has. Those introduced after 20 March 2019 have to be switched on (AWS Account
// Management's reference guide, "Enable or disable AWS Regions in your account"), so it never has more.
var everybodys = []string{
	"ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1", "eu-central-1",
	"eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
}

// judge reads the code and message of an answer of EC2, STS or Service Quotas, and classifies them as the SDK's errors are. In a
// region that the account hasn't switched on, credentials that are good elsewhere are refused as if they were not.
func judge(answer *http.Response) (*cloud.Error, error) {
	body, err := cloud.PeekBody(answer)
	if err != nil {
		return nil, err
	}
	out := errorOf(body)
	out.Class, out.RetryAfter = classOfCode(out.Code, answer.StatusCode), cloud.RetryAfter(answer.Header)
	if out.Class == cloud.Denied {
		out.denied(nil)
		out.NoRegion = out.Credentials && !slices.Contains(everybodys, scopeOf(answer.Request).Region)
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
