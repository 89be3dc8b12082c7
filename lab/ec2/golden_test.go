package ec2

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Where the recordings were made.
const (
	goldenRegion  = "us-east-1"
	goldenAccount = "111111111111"
)

// goldens reads recorded answers of the real EC2: by test and by step, each as boto3 shows it, with placeholders for ids.
func goldens(t *testing.T) map[string]map[string]any {
	t.Helper()
	dir := os.Getenv("SKYWELD_GOLDENS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "goldens")
	}
	data, err := os.ReadFile(filepath.Join(dir, "aws", "test_ec2.snapshot.json"))
	if err != nil {
		t.Skip("needs recordings of EC2: set SKYWELD_GOLDENS to a folder that has aws/test_ec2.snapshot.json (from localstack/localstack, tests/aws/services/ec2)")
	}
	var file map[string]struct {
		Content map[string]any `json:"recorded-content"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for name, r := range file {
		out[name[strings.LastIndex(name, "::")+2:]] = r.Content
	}
	return out
}

// goldenElsewhere are recordings of what the lab doesn't have; it must refuse the action.
var goldenElsewhere = map[string]string{
	"test_vcp_peering_difference_regions":      "CreateVpcPeeringConnection VpcId=vpc-1 PeerVpcId=vpc-2",
	"test_describe_vpn_gateways_filter_by_vpc": "CreateVpnGateway Type=ipsec.1",
	"test_ec2_flow_logs_s3":                    "CreateFlowLogs ResourceType=VPC ResourceId.1=vpc-1",
	"test_ec2_flow_logs_s3_validation":         "CreateFlowLogs ResourceType=VPC ResourceId.1=vpc-1",
	"test_vpc_endpoint_dns_names":              "CreateVpcEndpoint VpcId=vpc-1 ServiceName=com.amazonaws.us-east-1.execute-api",
}

// asBoto shows a value of the Go SDK as boto3 shows it and JSON reads it: members by the model's names, times as text.
// boto3 leaves out what isn't there, and shows lists that are there and empty; the Go SDK tells the two apart by nil.
func asBoto(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		if at, ok := v.Interface().(*time.Time); ok {
			return at.Format(time.RFC3339)
		}
		return asBoto(v.Elem())
	case reflect.Struct:
		out := map[string]any{}
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if !unicode.IsUpper(rune(name[0])) || name == "ResultMetadata" {
				continue
			}
			f := v.Field(i)
			if f.Kind() == reflect.String && f.Len() == 0 { // an enumeration that isn't there
				continue
			}
			if got := asBoto(f); got != nil {
				out[name] = got
			}
		}
		return out
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		out := []any{}
		for i := range v.Len() {
			out = append(out, asBoto(v.Index(i)))
		}
		return out
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int32, reflect.Int64:
		return float64(v.Int())
	}
	return fmt.Sprint(v)
}

// goldenShape compares an answer with a recording: the same fields of the same types, lists as long, and the same values
// where the recording has no placeholder.
func goldenShape(t *testing.T, path string, want, got any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s: is %T, recorded is an object", path, got)
			return
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if key == "ResponseMetadata" {
				continue
			}
			if _, ok := got[key]; !ok {
				t.Errorf("%s.%s: recorded, and not answered", path, key)
				continue
			}
			goldenShape(t, path+"."+key, want[key], got[key])
		}
		for _, key := range slices.Sorted(maps.Keys(got)) {
			if _, ok := want[key]; !ok {
				t.Errorf("%s.%s: answered (%v), and not recorded", path, key, got[key])
			}
		}
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			t.Errorf("%s: is %v, recorded are %d items", path, got, len(want))
			return
		}
		for i := range want {
			goldenShape(t, fmt.Sprintf("%s[%d]", path, i), want[i], got[i])
		}
	case string:
		got, ok := got.(string)
		if !ok || !goldenText(want, got) {
			t.Errorf("%s: is %v, recorded is %q", path, got, want)
		}
	default:
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s: is %v, recorded is %v", path, got, want)
		}
	}
}

// goldenText compares text with a recorded one, in which <…> stands for anything but <region>.
func goldenText(want, got string) bool {
	want = strings.ReplaceAll(want, "<region>", goldenRegion)
	for {
		before, rest, more := strings.Cut(want, "<")
		if !more {
			return got == want
		}
		if !strings.HasPrefix(got, before) {
			return false
		}
		_, want, _ = strings.Cut(rest, ">")
		if want == "" {
			return len(got) > len(before)
		}
		next, _, _ := strings.Cut(want, "<")
		i := strings.Index(got[len(before):], next)
		if i < 0 {
			return false
		}
		got = got[len(before)+i:]
	}
}

// recorded compares an answer with one step of a recording.
func recorded[T any](t *testing.T, content map[string]any, step string, answer T) {
	t.Helper()
	want, ok := content[step]
	if !ok {
		t.Errorf("the recording has no step %s", step)
		return
	}
	goldenShape(t, step, want, asBoto(reflect.ValueOf(answer)))
}

func TestGoldens(t *testing.T) {
	all := goldens(t)
	l := newLab(t, func(c *Config) { c.AccountID = goldenAccount })
	l.Client = l.client(goldenRegion, testKey, testSecret)
	answered := map[string]func(t *testing.T, content map[string]any){
		"test_create_route_table_association":                     l.goldenAssociation,
		"test_get_security_groups_for_vpc":                        l.goldenGroups,
		"test_raise_create_volume_without_size":                   l.goldenVolume,
		"test_describe_availability_zones_filter_with_zone_names": l.goldenZone(&awsec2.DescribeAvailabilityZonesInput{ZoneNames: []string{goldenRegion + "a"}}),
		"test_describe_availability_zones_filter_with_zone_ids":   l.goldenZone(&awsec2.DescribeAvailabilityZonesInput{ZoneIds: []string{"use1-az1"}}),
		"test_describe_availability_zones_filters": l.goldenZone(&awsec2.DescribeAvailabilityZonesInput{
			Filters: []types.Filter{{Name: aws.String("zone-name"), Values: []string{goldenRegion + "a"}}},
		}),
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			switch {
			case answered[name] != nil:
				answered[name](t, all[name])
			case goldenElsewhere[name] != "":
				if _, code, message, _ := l.query("Action=" + goldenElsewhere[name]); code != "UnsupportedOperation" {
					t.Errorf("%s: %s (%s), want UnsupportedOperation", goldenElsewhere[name], code, message)
				}
			default:
				t.Errorf("nothing is said of this recording")
			}
		})
	}
}

func (l *lab) goldenAssociation(t *testing.T, content map[string]any) {
	vpc := must(l.CreateVpc(ctx, &awsec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")}))(t).Vpc
	subnet := must(l.CreateSubnet(ctx, &awsec2.CreateSubnetInput{VpcId: vpc.VpcId, CidrBlock: aws.String("10.0.0.0/24")}))(t).Subnet
	table := must(l.CreateRouteTable(ctx, &awsec2.CreateRouteTableInput{VpcId: vpc.VpcId}))(t).RouteTable
	association := must(l.AssociateRouteTable(ctx, &awsec2.AssociateRouteTableInput{RouteTableId: table.RouteTableId, SubnetId: subnet.SubnetId}))(t)
	tables := must(l.DescribeRouteTables(ctx, &awsec2.DescribeRouteTablesInput{
		Filters: []types.Filter{{Name: aws.String("association.route-table-association-id"), Values: []string{*association.AssociationId}}},
	}))(t)
	recorded(t, content, "route_tables", tables.RouteTables)
}

func (l *lab) goldenGroups(t *testing.T, content map[string]any) {
	vpc := must(l.CreateVpc(ctx, &awsec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16"), TagSpecifications: []types.TagSpecification{{
		ResourceType: types.ResourceTypeVpc, Tags: []types.Tag{{Key: aws.String("test-key"), Value: aws.String("test-value")}},
	}}}))(t)
	recorded(t, content, "create_vpc_response", vpc)
	in := &awsec2.GetSecurityGroupsForVpcInput{VpcId: vpc.Vpc.VpcId}
	recorded(t, content, "get_security_groups_for_vpc", must(l.GetSecurityGroupsForVpc(ctx, in))(t))
	group := must(l.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
		VpcId: vpc.Vpc.VpcId, GroupName: aws.String("other"), Description: aws.String("Description for other"),
	}))(t)
	recorded(t, content, "create_security_group", group)
	out := must(l.GetSecurityGroupsForVpc(ctx, in))(t)
	slices.SortFunc(out.SecurityGroupForVpcs, func(a, b types.SecurityGroupForVpc) int { return strings.Compare(*a.GroupName, *b.GroupName) })
	recorded(t, content, "get_security_groups_for_vpc_after_addition", out)
}

func (l *lab) goldenVolume(t *testing.T, content map[string]any) {
	status, code, message, _ := l.query("Action=CreateVolume AvailabilityZone=" + testRegion + "a")
	got := map[string]any{
		"Error":            map[string]any{"Code": code, "Message": message},
		"ResponseMetadata": map[string]any{"HTTPHeaders": map[string]any{}, "HTTPStatusCode": float64(status)},
	}
	if want := content["request-missing-size"]; !reflect.DeepEqual(want, got) {
		t.Errorf("refused with %v, recorded is %v", got, want)
	}
}

func (l *lab) goldenZone(in *awsec2.DescribeAvailabilityZonesInput) func(*testing.T, map[string]any) {
	return func(t *testing.T, content map[string]any) {
		recorded(t, content, "availability_zones", must(l.DescribeAvailabilityZones(ctx, in))(t))
	}
}
