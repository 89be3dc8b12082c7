package conformance_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/cloud"
)

const awsPolicyFile = "../../docs/accounts/aws-policy.json"

// iamPolicy is a policy of Amazon's, as far as ours goes.
type iamPolicy struct {
	Version   string
	Statement []iamStatement
}

type iamStatement struct {
	Sid, Effect      string
	Action, Resource []string
	Condition        map[string]map[string]iamValues
}

// iamValues are one value, or a list of them.
type iamValues []string

func (v *iamValues) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*v = iamValues{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(v))
}

func awsPolicy(t *testing.T) iamPolicy {
	t.Helper()
	text, err := os.ReadFile(awsPolicyFile)
	if err != nil {
		t.Fatal(err)
	}
	var p iamPolicy
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// without is the policy with an action taken out of every statement.
func (p iamPolicy) without(action string) iamPolicy {
	out := iamPolicy{Version: p.Version}
	for _, s := range p.Statement {
		s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool { return a == action })
		out.Statement = append(out.Statement, s)
	}
	return out
}

// iamAsk is one question about a call: may this be done to that. A call may be allowed only if all of its questions are.
type iamAsk struct {
	action, resource string
	keys             map[string]string // what conditions go by
}

// allows answers as Amazon does: one statement must allow, and none deny.
func (p iamPolicy) allows(a iamAsk) bool {
	ok := false
	for _, s := range p.Statement {
		if !s.about(a) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		ok = true
	}
	return ok
}

func (s iamStatement) about(a iamAsk) bool {
	if !slices.Contains(s.Action, a.action) || !slices.ContainsFunc(s.Resource, func(p string) bool { return arnMatches(p, a.resource) }) {
		return false
	}
	for operator, keys := range s.Condition {
		for key, values := range keys {
			value, there := a.keys[key]
			switch operator {
			case "Null":
				if (values[0] == "true") == there {
					return false
				}
			case "StringEquals":
				if !there || !slices.Contains(values, value) {
					return false
				}
			default:
				return false
			}
		}
	}
	return true
}

// arnMatches compares with a pattern in which * stands for whatever text.
func arnMatches(pattern, name string) bool {
	flat := strings.NewReplacer("/", "|")
	ok, err := path.Match(flat.Replace(pattern), flat.Replace(name))
	return ok && err == nil
}

// iamTypes says what the parameters that name something name, and iamMade what calls make, in the words of resource names.
// Both are of "Actions, resources, and condition keys for Amazon EC2".
var (
	iamTypes = map[string]string{
		"VpcId": "vpc", "SubnetId": "subnet", "GroupId": "security-group", "SecurityGroupId": "security-group", "InternetGatewayId": "internet-gateway",
		"RouteTableId": "route-table", "AllocationId": "elastic-ip", "InstanceId": "instance", "VolumeId": "volume", "NetworkInterfaceId": "network-interface",
		"ImageId": "image", "ResourceId": "vpc", // of CreateTags: the driver's own call names a VPC
	}
	iamMade = map[string][]string{
		"CreateVpc": {"vpc"}, "CreateSubnet": {"subnet"}, "CreateInternetGateway": {"internet-gateway"}, "CreateRouteTable": {"route-table"},
		"CreateSecurityGroup": {"security-group"}, "AllocateAddress": {"elastic-ip"}, "RunInstances": {"instance", "network-interface", "volume"},
		"AuthorizeSecurityGroupIngress": {"security-group-rule"}, "AuthorizeSecurityGroupEgress": {"security-group-rule"},
		"RevokeSecurityGroupIngress": {"security-group-rule"}, "RevokeSecurityGroupEgress": {"security-group-rule"},
	}
	iamNaming = regexp.MustCompile(`^(?:NetworkInterface\.\d+\.)?([A-Z][A-Za-z]+)(?:\.\d+)?$`)
	iamScope  = regexp.MustCompile(`Credential=[^/]+/\d+/([^/]+)/([^/]+)/`)
)

// iam asks a policy about calls to a lab.
type iam struct {
	policy iamPolicy
	client *ec2.Client
}

// guarded refuses what the policy for users doesn't allow, as EC2 does.
func (l *awsLab) guarded(policy iamPolicy, wrap cloud.Transport) cloud.Transport {
	i := iam{policy, l.client()}
	return func(next http.RoundTripper) http.RoundTripper {
		out := http.RoundTripper(reading(next, func(r *http.Request, body []byte) *http.Response {
			asks, service := i.asks(r, body)
			for _, a := range asks {
				if policy.allows(a) {
					continue
				}
				text := "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/skyweld is not authorized to perform: " + a.action + " on resource: " + a.resource +
					" because no identity-based policy allows the " + a.action + " action"
				if service == "servicequotas" {
					return answer(r, 400, "application/x-amz-json-1.1", `{"__type":"AccessDeniedException","message":"`+text+`"}`)
				}
				return answer(r, 403, "text/xml", `<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>`+text+`</Message></Error></Errors><RequestID>x</RequestID></Response>`)
			}
			return nil
		}))
		if wrap != nil {
			out = wrap(out)
		}
		return out
	}
}

// awsNeeds are the actions that a call takes.
func awsNeeds(r *http.Request, body []byte) []string {
	_, service, action, form := awsCall(r, body)
	if action == "" || service == "sts" { // who asks who they are needs no permission
		return nil
	}
	needs := []string{service + ":" + action}
	if form.Get("TagSpecification.1.ResourceType") != "" {
		needs = append(needs, "ec2:CreateTags")
	}
	return needs
}

func awsCall(r *http.Request, body []byte) (region, service, action string, form url.Values) {
	if m := iamScope.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		region, service = m[1], m[2]
	}
	if _, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return region, service, operation, url.Values{}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return region, service, "", url.Values{}
	}
	return region, service, form.Get("Action"), form
}

// asks are the questions about a call.
func (i iam) asks(r *http.Request, body []byte) (asks []iamAsk, service string) {
	region, service, action, form := awsCall(r, body)
	name := service + ":" + action
	arn := func(kind, id string) string { return "arn:aws:ec2:" + region + ":123456789012:" + kind + "/" + id }
	if service == "sts" {
		return nil, service // who asks who they are needs no permission
	}
	if service != "ec2" || strings.HasPrefix(action, "Describe") {
		return []iamAsk{{action: name, resource: "*"}}, service
	}
	given := iamTags(form)
	for _, kind := range iamMade[action] {
		asks = append(asks, iamAsk{name, arn(kind, "*"), given[kind]})
	}
	for kind, keys := range given {
		tagging := iamAsk{"ec2:CreateTags", arn(kind, "*"), map[string]string{"ec2:CreateAction": action}}
		for k, v := range keys {
			tagging.keys[k] = v
		}
		asks = append(asks, tagging)
	}
	for param, values := range form {
		m := iamNaming.FindStringSubmatch(param)
		switch {
		case m == nil:
		case m[1] == "AssociationId":
			asks = append(asks, i.association(r.Context(), name, region, values[0], arn)...)
		case m[1] == "ImageId":
			asks = append(asks, iamAsk{name, "arn:aws:ec2:" + region + "::image/" + values[0], map[string]string{"ec2:Owner": "amazon"}})
		case iamTypes[m[1]] != "":
			asks = append(asks, iamAsk{name, arn(iamTypes[m[1]], values[0]), i.tags(r.Context(), region, values[0])})
		}
	}
	return asks, service
}

// association asks about what an association joins. EC2 can't tell that of one that isn't there, and says so.
func (i iam) association(ctx context.Context, name, region, id string, arn func(kind, id string) string) []iamAsk {
	in := func(o *ec2.Options) { o.Region = region }
	var named [][2]string
	if strings.HasPrefix(id, "eipassoc-") {
		if out, err := i.client.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{Filters: oneFilter("association-id", id)}, in); err == nil && len(out.Addresses) > 0 {
			named = append(named, [2]string{"elastic-ip", sdk.ToString(out.Addresses[0].AllocationId)}, [2]string{"instance", sdk.ToString(out.Addresses[0].InstanceId)})
		}
	} else {
		out, err := i.client.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: oneFilter("association.route-table-association-id", id)}, in)
		if err == nil && len(out.RouteTables) > 0 {
			for _, a := range out.RouteTables[0].Associations {
				if sdk.ToString(a.RouteTableAssociationId) == id {
					named = append(named, [2]string{"subnet", sdk.ToString(a.SubnetId)})
				}
			}
			if name == "ec2:DisassociateRouteTable" { // the other call names the table that it is about
				named = append(named, [2]string{"route-table", sdk.ToString(out.RouteTables[0].RouteTableId)})
			}
		}
	}
	var asks []iamAsk
	for _, n := range named {
		asks = append(asks, iamAsk{name, arn(n[0], n[1]), i.tags(ctx, region, n[1])})
	}
	if len(asks) == 0 && !slices.ContainsFunc(i.policy.Statement, func(s iamStatement) bool { return s.Effect == "Allow" && slices.Contains(s.Action, name) }) {
		asks = append(asks, iamAsk{action: name, resource: "*"})
	}
	return asks
}

func oneFilter(name, value string) []types.Filter {
	return []types.Filter{{Name: sdk.String(name), Values: []string{value}}}
}

// tags are those of what is there, as conditions see them.
func (i iam) tags(ctx context.Context, region, id string) map[string]string {
	keys := map[string]string{}
	if strings.HasSuffix(id, "-00000000000000000") {
		return keys // what is only tried
	}
	out, err := i.client.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: oneFilter("resource-id", id)}, func(o *ec2.Options) { o.Region = region })
	if err != nil {
		return keys
	}
	for _, tag := range out.Tags {
		keys["aws:ResourceTag/"+sdk.ToString(tag.Key)] = sdk.ToString(tag.Value)
	}
	return keys
}

// iamTags are the tags that a call gives to what it makes, as conditions see them, by the kind of resource.
func iamTags(form url.Values) map[string]map[string]string {
	out := map[string]map[string]string{}
	for param, values := range form {
		if !strings.HasPrefix(param, "TagSpecification.") || !strings.HasSuffix(param, ".ResourceType") {
			continue
		}
		keys := map[string]string{}
		prefix := strings.TrimSuffix(param, "ResourceType") + "Tag."
		for p, v := range form {
			if n, ok := strings.CutPrefix(p, prefix); ok && strings.HasSuffix(n, ".Key") {
				keys["aws:RequestTag/"+v[0]] = form.Get(prefix + strings.TrimSuffix(n, "Key") + "Value")
			}
		}
		out[values[0]] = keys
	}
	return out
}

// TestAWSPolicy holds the policy's own form: what IAM takes, no wildcard where EC2 knows single resources, and one list
// of actions on what has the mark and on what is only tried.
func TestAWSPolicy(t *testing.T) {
	text, err := os.ReadFile(awsPolicyFile)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Join(strings.Fields(string(text)), "")); n > 6144 {
		t.Errorf("the policy has %d characters; IAM takes 6144", n)
	}
	p := awsPolicy(t)
	lists := map[string][]string{}
	for _, s := range p.Statement {
		lists[s.Sid] = s.Action
		if !slices.IsSorted(s.Action) || !slices.IsSorted(s.Resource) {
			t.Errorf("%s isn't sorted", s.Sid)
		}
		if slices.Contains(s.Resource, "*") && s.Sid != "Look" && s.Sid != "FreeAddress" {
			t.Errorf("%s is for all resources", s.Sid)
		}
	}
	tried := slices.DeleteFunc(slices.Clone(lists["TryOnWhatDoesNotExist"]), func(a string) bool { return a == "ec2:CreateTags" })
	if !slices.Equal(tried, lists["ChangeMarked"]) {
		t.Errorf("tried are %v, and changed may be %v", tried, lists["ChangeMarked"])
	}
}

// TestAWSPolicyFence tries under the policy what the driver must not do to others' things, by its own calls.
func TestAWSPolicyFence(t *testing.T) {
	policy := awsPolicy(t)
	ours := map[string]string{"aws:ResourceTag/" + cloud.TagCluster: "somebody's cluster"}
	made := map[string]string{"aws:RequestTag/" + cloud.TagCluster: "a"}
	for _, c := range []struct {
		action, kind, id string
		keys             map[string]string
		want             bool
	}{
		{"TerminateInstances", "instance", "i-1", ours, true},
		{"TerminateInstances", "instance", "i-1", nil, false},
		{"TerminateInstances", "instance", "i-1", made, false},
		{"DeleteVpc", "vpc", "vpc-1", nil, false},
		{"DeleteVolume", "volume", "vol-1", nil, false},
		{"DeleteVpc", "vpc", "vpc-00000000000000000", nil, true},
		{"RevokeSecurityGroupIngress", "security-group", "sg-1", nil, false},
		{"RevokeSecurityGroupIngress", "security-group-rule", "sgr-1", nil, true},
		{"ReleaseAddress", "elastic-ip", "eipalloc-1", nil, false},
		{"DisassociateAddress", "elastic-ip", "eipalloc-1", nil, false},
		{"DisassociateAddress", "elastic-ip", "eipalloc-1", ours, true},
		{"DisassociateAddress", "network-interface", "eni-1", nil, true},
		{"CreateVpc", "vpc", "*", made, true},
		{"CreateVpc", "vpc", "*", nil, false},
		{"CreateSubnet", "vpc", "vpc-1", nil, false},
		{"CreateSubnet", "vpc", "vpc-1", made, false},
		{"CreateSubnet", "vpc", "vpc-1", ours, true},
		{"RunInstances", "subnet", "subnet-1", made, false},
		{"RunInstances", "subnet", "subnet-1", ours, true},
		{"RunInstances", "instance", "*", nil, false},
		{"CreateTags", "instance", "i-1", made, false},
		{"CreateTags", "instance", "i-1", ours, false},
		{"CreateTags", "instance", "*", map[string]string{"ec2:CreateAction": "RunInstances", "aws:RequestTag/" + cloud.TagCluster: "a"}, true},
		{"CreateVolume", "volume", "*", made, false},
		{"GetConsoleOutput", "instance", "i-1", nil, false},
	} {
		ask := iamAsk{"ec2:" + c.action, "arn:aws:ec2:us-east-1:123456789012:" + c.kind + "/" + c.id, c.keys}
		if got := policy.allows(ask); got != c.want {
			t.Errorf("%s of %s with %v: allowed %v, want %v", c.action, c.id, c.keys, got, c.want)
		}
	}
}
