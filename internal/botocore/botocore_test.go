package botocore

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func model(t *testing.T, version string) *Model {
	t.Helper()
	all, err := Models()
	if err != nil {
		t.Skip(err)
	}
	return all[version]
}

func form(text string) url.Values {
	f := url.Values{}
	for pair := range strings.FieldsSeq(text) {
		k, v, _ := strings.Cut(pair, "=")
		f.Add(k, v)
	}
	return f
}

func TestCheckRequest(t *testing.T) {
	m := model(t, "2016-11-15")
	for _, c := range []struct{ form, want string }{
		{"Action=DescribeVpcs", ""},
		{"Action=CreateVpc CidrBlock=10.0.0.0/16 TagSpecification.1.ResourceType=vpc TagSpecification.1.Tag.1.Key=a TagSpecification.1.Tag.1.Value=", ""},
		{"Action=DescribeVpcs MaxResults=1000 Filter.1.Name=a Filter.1.Value.1=b Filter.1.Value.2=c Filter.2.Name=d", ""},
		{"Action=MakeVpc", `the service has no action "MakeVpc"`},
		{"Action=DescribeVpcs VpcIds.1=vpc-1", "VpcIds: unknown parameter"},
		{"Action=DescribeVpcs VpcId=vpc-1", "VpcId: has a value, and is a list"},
		{"Action=DescribeVpcs VpcId.1=a VpcId.3=b", "VpcId: has 2 items and no VpcId.2"},
		{"Action=DescribeVpcs VpcId.0=a", "VpcId: has 1 items and no VpcId.1"},
		{"Action=DescribeVpcs VpcId.1=a VpcId.1=b", "VpcId.1: is there 2 times"},
		{"Action=DescribeVpcs VpcId.1.x=a", "VpcId.1: has x below it, and is a string"},
		{"Action=DescribeVpcs Filter.1=a", "Filter.1: has a value, and is a structure"},
		{"Action=DescribeVpcs Filter.1.Nome=a", "Filter.1.Nome: unknown parameter"},
		{"Action=DescribeVpcs MaxResults=4", "MaxResults: 4 is less than 5"},
		{"Action=DescribeVpcs MaxResults=many", `MaxResults: "many" is no integer`},
		{"Action=DescribeVpcs DryRun=True", `DryRun: "True" is no boolean`},
		{"Action=CreateVpc TagSpecification.1.ResourceType=network", `TagSpecification.1.ResourceType: "network" is no value of ResourceType`},
		{"Action=CreateVpc InstanceTenancy=", "InstanceTenancy: is empty, and an enumeration"},
		{"Action=DeleteVpc", "VpcId: required, and missing"},
		{"Action=RunInstances MinCount=1 MaxCount=1 InstanceType=m99.huge", ""}, // faster than releases
	} {
		got := m.CheckRequest(form(c.form))
		if c.want == "" && len(got) > 0 || c.want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, c.want) }) {
			t.Errorf("%s: got %q, want %q", c.form, got, c.want)
		}
	}
}

func TestCheckRequestOfQueryProtocol(t *testing.T) {
	m := model(t, "2011-06-15")
	for text, want := range map[string]bool{
		"Action=GetCallerIdentity": true,
		"Action=AssumeRole RoleArn=arn:aws:iam::1:role/something RoleSessionName=me PolicyArns.member.1.arn=arn:aws:iam::1:policy/some": true,
		"Action=AssumeRole RoleArn=arn:aws:iam::1:role/something RoleSessionName=me PolicyArns.1.arn=arn:aws:iam::1:policy/some":        false,
	} {
		if got := m.CheckRequest(form(text)); (len(got) == 0) != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

const vpcs = `<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId>%s</DescribeVpcsResponse>`

func TestCheckAnswer(t *testing.T) {
	m := model(t, "2016-11-15")
	for _, c := range []struct{ action, body, want string }{
		{"DescribeVpcs", fmt.Sprintf(vpcs, "<vpcSet><item><vpcId>x</vpcId><isDefault>true</isDefault><state>pending</state></item></vpcSet>"), ""},
		{"DescribeVpcs", fmt.Sprintf(vpcs, "<vpcSet/>"), ""},
		{"DescribeVpcs", fmt.Sprintf(vpcs, "<vpcs/>"), "/DescribeVpcsResponse/vpcs: unknown element"},
		{"DescribeVpcs", fmt.Sprintf(vpcs, "<vpcSet/><vpcSet/>"), "vpcSet: is there twice"},
		{"DescribeVpcs", fmt.Sprintf(vpcs, "<vpcSet><vpc/></vpcSet>"), "vpcSet/vpc: the list has item"},
		{"DescribeVpcs", fmt.Sprintf(vpcs, "<vpcSet><item>a</item></vpcSet>"), "item: text in a structure"},
		{"DescribeVpcs", fmt.Sprintf(vpcs, "<vpcSet><item><vpcId><x/></vpcId></item></vpcSet>"), "vpcId: elements in a string"},
		{"DescribeVpcs", fmt.Sprintf(vpcs, "<vpcSet><item><isDefault>yes</isDefault></item></vpcSet>"), `"yes" is no boolean`},
		{"DescribeVpcs", fmt.Sprintf(vpcs, "<vpcSet><item><state>made</state></item></vpcSet>"), `"made" is no value of VpcState`},
		{"DescribeVpcs", `<DescribeVpcsResponse/>`, "root element"},
		{"DescribeVpcs", `<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"/>`, "has no requestId"},
		{"DescribeVpcs", "<", "EOF"},
		{"DeleteVpc", strings.ReplaceAll(fmt.Sprintf(vpcs, "<return>true</return>"), "DescribeVpcs", "DeleteVpc"), ""},
		{"DeleteVpc", strings.ReplaceAll(fmt.Sprintf(vpcs, "<vpcId>x</vpcId>"), "DescribeVpcs", "DeleteVpc"), "has vpcId, should be empty"},
	} {
		got := strings.Join(m.CheckAnswer(c.action, []byte(c.body)), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.body, got, c.want)
		}
	}
}

func TestCheckJSON(t *testing.T) {
	m := model(t, "ServiceQuotasV20190624")
	op := m.Operations["GetServiceQuota"]
	for body, want := range map[string]string{
		`{"ServiceCode": "vpc", "QuotaCode": "L-F678F1CE"}`:              "",
		`{"ServiceCode": "vpc"}`:                                         ".QuotaCode: required, and missing",
		`{"ServiceCode": "vpc", "QuotaCode": 7}`:                         ".QuotaCode: 7 is no string",
		`{"ServiceCode": "vpc", "QuotaCode": {}}`:                        ".QuotaCode: is an object, want a string",
		`{"ServiceCode": "vpc", "QuotaCode": ["L-1"]}`:                   ".QuotaCode: is a list, want a string",
		`{"ServiceCode": "vpc", "QuotaCode": null}`:                      ".QuotaCode: is null",
		`{"ServiceCode": "vpc", "QuotaCode": "L-F678F1CE", "Name": "x"}`: ".Name: unknown",
		`{`: "the body is no JSON: unexpected EOF",
	} {
		if got := strings.Join(m.checkJSON([]byte(body), op.Input.Shape, true), "\n"); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
	for body, want := range map[string]string{
		`{"Quota": {"Value": 5.0, "Adjustable": true, "QuotaCode": "L-F678F1CE"}}`: "",
		`{"Quota": {"Value": "5"}}`:    ".Quota.Value: 5 is no double",
		`{"Quota": {"Adjustable": 1}}`: ".Quota.Adjustable: 1 is no boolean",
		`{"Quota": null}`:              "",
		`{"Quotas": []}`:               ".Quotas: unknown",
	} {
		if got := strings.Join(m.checkJSON([]byte(body), op.Output.Shape, false), "\n"); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
	for body, want := range map[string]string{
		`{"__type": "NoSuchResourceException", "message": "x"}`: "NoSuchResourceException []",
		`{"Message": "x"}`: " [error: has no __type]",
	} {
		code, complaints := checkJSONError([]byte(body))
		if got := fmt.Sprint(code, " ", complaints); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

func TestCheckError(t *testing.T) {
	m := model(t, "2016-11-15")
	for body, want := range map[string]string{
		`<Response><Errors><Error><Code>X</Code><Message>y</Message></Error></Errors><RequestID>1</RequestID></Response>`: "X []",
		`<Response><Errors><Error><Code>X</Code><Message>y</Message></Error></Errors></Response>`:                         "X [error: has no RequestID]",
		`<Response><Errors><Error><Code>X</Code></Error></Errors><RequestID>1</RequestID></Response>`:                     " [error: has no Message]",
		`<Response><Error><Code>X</Code><Message>y</Message></Error><RequestID>1</RequestID></Response>`:                  " [error: has no Error]",
		`<Error/>`: " [error: root element Error, want Response]",
		`no`:       " [error: EOF]",
	} {
		code, complaints := m.CheckError([]byte(body))
		if got := fmt.Sprint(code, " ", complaints); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

// TestJudge lets a judge watch both sides of one exchange, which is wrong in both.
func TestJudge(t *testing.T) {
	model(t, "2016-11-15")
	var reports [2][]string
	judges := [2]*Judge{}
	for i := range judges {
		j, err := NewJudge(func(format string, args ...any) { reports[i] = append(reports[i], fmt.Sprintf(format, args...)) })
		if err != nil {
			t.Fatal(err)
		}
		judges[i] = j
	}
	wrong := fmt.Sprintf(vpcs, "<x/>")
	server := httptest.NewServer(judges[0].Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("Action") == "DeleteVpc" {
			w.WriteHeader(http.StatusBadRequest)
		}
		io.WriteString(w, wrong)
	})))
	defer server.Close()
	client := &http.Client{Transport: judges[1].Transport(http.DefaultTransport)}
	for _, text := range []string{"Version=2016-11-15&Action=DescribeVpcs&Y=1", "Version=2016-11-15&Action=DeleteVpc&VpcId=x"} {
		resp, err := client.Post(server.URL, "application/x-www-form-urlencoded", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != wrong {
			t.Errorf("the answer arrived as %q, %v", body, err)
		}
	}
	want := []string{
		"request DescribeVpcs: Y: unknown parameter",
		"answer to DescribeVpcs: /DescribeVpcsResponse/x: unknown element",
		"answer to DeleteVpc: error: root element DescribeVpcsResponse, want Response",
	}
	for i, j := range judges {
		if diff := cmp.Diff(want, reports[i]); diff != "" {
			t.Error(diff)
		}
		got, want := j.Tally.String()+"\n"+j.Tally.Detail(), "2 calls of 2 actions, 1 of them refused with 1 codes\n"+
			"calls: DeleteVpc 1, DescribeVpcs 1\nrefusals: (none) 1"
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// FuzzCheckRequest holds that no request breaks the check.
func FuzzCheckRequest(f *testing.F) {
	f.Add("Action=DescribeVpcs&Filter.1.Name=a&Filter.1.Value.1=b&VpcId..=x&.=y")
	f.Add("Action=RunInstances&BlockDeviceMapping.1.Ebs.VolumeSize=&MinCount.1=")
	m, err := EC2()
	if err != nil {
		f.Skip(err)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		values, _ := url.ParseQuery(text)
		m.CheckRequest(values)
	})
}
