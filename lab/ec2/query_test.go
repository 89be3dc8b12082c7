package ec2

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"crypto/sha256"
	"encoding/hex"

	"github.com/skyweld/skyweld/lab/ec2/internal/query"
)

// query sends a signed request with parameters written as "Name=value Name=value", and returns the status, the error's
// code and message, and the answer.
func (l *lab) query(text string, more ...string) (status int, code, message string, body []byte) {
	l.t.Helper()
	form := url.Values{"Version": {ec2Version}}
	for pair := range strings.FieldsSeq(text) {
		k, v, _ := strings.Cut(pair, "=")
		form.Set(k, v)
	}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	status, body = l.post(form, testKey, testSecret, "ec2", testRegion, time.Now())
	var e errorAnswer
	if status != http.StatusOK {
		if err := xml.Unmarshal(body, &e); err != nil || e.RequestID == "" {
			l.t.Errorf("%s: the error is not in EC2's form: %s", text, body)
		}
	}
	return status, e.Code, e.Message, body
}

func (l *lab) post(form url.Values, key, secret, service, region string, at time.Time) (int, []byte) {
	l.t.Helper()
	body := form.Encode()
	r, err := http.NewRequest(http.MethodPost, l.url+"/", strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256([]byte(body))
	if key != "" {
		creds := must(credentials.NewStaticCredentialsProvider(key, secret, "").Retrieve(ctx))(l.t)
		if err := v4.NewSigner().SignHTTP(ctx, creds, r, hex.EncodeToString(sum[:]), service, region, at); err != nil {
			l.t.Fatal(err)
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, data
}

func TestSignatures(t *testing.T) {
	l := newLab(t)
	form := func(pairs ...string) url.Values {
		f := url.Values{"Version": {ec2Version}, "Action": {"DescribeVpcs"}}
		for i := 0; i+1 < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f
	}
	now := time.Now()
	for _, c := range []struct {
		name                         string
		form                         url.Values
		key, secret, service, region string
		at                           time.Time
		status                       int
		code                         string
	}{
		{"right", form(), testKey, testSecret, "ec2", testRegion, now, 200, ""},
		{"odd characters", form("Filter.1.Name", "tag:a b*~/é", "Filter.1.Value.1", "+%&=", "Filter.1.Value.10", "x", "Filter.1.Value.2", "y"), testKey, testSecret, "ec2", testRegion, now, 200, ""},
		{"a little late", form(), testKey, testSecret, "ec2", testRegion, now.Add(-4 * time.Minute), 200, ""},
		{"unknown key", form(), "AKIAOTHER", testSecret, "ec2", testRegion, now, 401, "AuthFailure"},
		{"wrong secret", form(), testKey, "wrong", "ec2", testRegion, now, 401, "AuthFailure"},
		{"too late", form(), testKey, testSecret, "ec2", testRegion, now.Add(-6 * time.Minute), 400, "RequestExpired"},
		{"too early", form(), testKey, testSecret, "ec2", testRegion, now.Add(6 * time.Minute), 400, "RequestExpired"},
		{"other service", form(), testKey, testSecret, "s3", testRegion, now, 401, "AuthFailure"},
		{"no such region", form(), testKey, testSecret, "ec2", "eu-moon-1", now, 401, "AuthFailure"},
		{"region not enabled", form(), testKey, testSecret, "ec2", "eu-south-2", now, 401, "AuthFailure"},
		{"unsigned", form(), "", "", "ec2", testRegion, now, 400, "MissingParameter"},
	} {
		status, body := l.post(c.form, c.key, c.secret, c.service, c.region, c.at)
		if status != c.status || c.code != "" && !bytes.Contains(body, []byte("<Code>"+c.code+"</Code>")) {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, body, c.status, c.code)
		}
	}
}

// TestPresigned sends a signature in the query instead of the header.
func TestPresigned(t *testing.T) {
	l := newLab(t)
	empty := sha256.Sum256(nil)
	get := func(at time.Time, edit func(url.Values)) int {
		q := url.Values{"Action": {"DescribeRegions"}, "Version": {ec2Version}, "X-Amz-Expires": {"60"}}
		r, _ := http.NewRequest(http.MethodGet, l.url+"/?"+q.Encode(), nil)
		creds := must(credentials.NewStaticCredentialsProvider(testKey, testSecret, "").Retrieve(ctx))(t)
		signed, _, err := v4.NewSigner().PresignHTTP(ctx, creds, r, hex.EncodeToString(empty[:]), "ec2", testRegion, at)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(signed)
		q = u.Query()
		edit(q)
		u.RawQuery = q.Encode()
		resp, err := http.Get(u.String())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := get(time.Now(), func(url.Values) {}); got != 200 {
		t.Errorf("presigned: %d", got)
	}
	if got := get(time.Now().Add(-2*time.Minute), func(url.Values) {}); got != 400 {
		t.Errorf("expired: %d", got)
	}
	if got := get(time.Now(), func(q url.Values) { q.Set("Action", "DescribeVpcs") }); got != 401 {
		t.Errorf("changed: %d", got)
	}
}

// TestProtocol is about what every action has in common.
func TestProtocol(t *testing.T) {
	l := newLab(t)
	for _, c := range []struct {
		query, code string
		status      int
	}{
		{"Action=DescribeVpcs", "", 200},
		{"Action=DescribeVpcs DryRun=true", "DryRunOperation", 412},
		{"Action=CreateVpc CidrBlock=10.0.0.0/16 DryRun=true", "DryRunOperation", 412},
		{"Action=CreateVpc CidrBlock=10.0.0.0/8 DryRun=true", "InvalidVpc.Range", 400},
		{"Action=DescribeVpcs DryRun=perhaps", "InvalidParameterValue", 400},
		{"Version=2016-11-15", "MissingParameter", 400},
		{"Action=DescribeVpcs Version=2001-01-01", "NoSuchVersion", 400},
		{"Action=FeedTheCat", "InvalidAction", 400},
		{"Action=CreateVpnGateway", "UnsupportedOperation", 400},
		{"Action=DescribeVpcs Colour=red", "UnknownParameter", 400},
		{"Action=DescribeVpcs VpcId.x=red", "UnknownParameter", 400},
		{"Action=DescribeVpcs Filter.1.Name=vpc-id Filter.1.Value.1=x Filter.1.Colour=red", "UnknownParameter", 400},
		{"Action=CreateSubnet VpcId=vpc-00000000000000000 Ipv6Native=true", "UnsupportedOperation", 400},
		{"Action=DeleteVpc", "MissingParameter", 400},
		{"Action=DeleteVpc VpcId=", "MissingParameter", 400},
		{"Action=DescribeVpcs Filter.1.Name=colour Filter.1.Value.1=red", "InvalidParameterValue", 400},
		{"Action=DescribeVpcs Filter.1.Name=vpc-id", "InvalidParameterValue", 400},
		{"Action=DescribeVpcs MaxResults=4", "InvalidParameterValue", 400},
		{"Action=DescribeVpcs MaxResults=many", "InvalidParameterValue", 400},
		{"Action=DescribeVpcs NextToken=nonsense", "InvalidParameterValue", 400},
		{"Action=DescribeVpcs VpcId.1=vpc-0123456789abcdef0", "InvalidVpcID.NotFound", 400},
		{"Action=DescribeVpcs VpcId.1=vpc-1", "InvalidVpcId.Malformed", 400},
		{"Action=DescribeNatGateways Filter.1.Name=vpc-id Filter.1.Value.1=x", "", 200},
		{"Action=DescribeNatGateways NatGatewayId.1=nat-0123456789abcdef0", "NatGatewayNotFound", 400},
		{"Action=DescribeNatGateways Colour=red", "UnknownParameter", 400},
	} {
		status, code, message, _ := l.query(c.query)
		if status != c.status || code != c.code {
			t.Errorf("%s: %d %s (%s), want %d %s", c.query, status, code, message, c.status, c.code)
		}
	}
	if vpcs := must(l.DescribeVpcs(ctx, &awsec2.DescribeVpcsInput{}))(t).Vpcs; len(vpcs) != 1 || !*vpcs[0].IsDefault {
		t.Errorf("%d VPCs after dry runs and refusals, want the default one", len(vpcs))
	}
	for name := range nothings {
		query := "Action=" + name
		if name == "DescribeStaleSecurityGroups" {
			query += " VpcId=vpc-0123456789abcdef0"
		}
		if status, code, message, _ := l.query(query); status != 200 {
			t.Errorf("%s: %s %s", name, code, message)
		}
	}
}

// TestAnswerForm holds two answers and an error to the letter.
func TestAnswerForm(t *testing.T) {
	l := newLab(t)
	_, _, _, body := l.query("Action=DescribeKeyPairs")
	id := between(body, "<requestId>", "</requestId>")
	want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<DescribeKeyPairsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>` + id + `</requestId><keySet></keySet></DescribeKeyPairsResponse>`
	if string(body) != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
	_, _, _, body = l.query("Action=DescribeAvailabilityZones ZoneId.1=euc1-az2")
	id = between(body, "<requestId>", "</requestId>")
	want = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<DescribeAvailabilityZonesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>` + id + `</requestId><availabilityZoneInfo><item>` +
		`<zoneName>eu-central-1b</zoneName><zoneState>available</zoneState><regionName>eu-central-1</regionName><zoneId>euc1-az2</zoneId>` +
		`<groupName>eu-central-1-zg-1</groupName><groupLongName>Europe (Frankfurt) 1</groupLongName><networkBorderGroup>eu-central-1</networkBorderGroup>` +
		`<optInStatus>opt-in-not-required</optInStatus><zoneType>availability-zone</zoneType><messageSet></messageSet></item></availabilityZoneInfo></DescribeAvailabilityZonesResponse>`
	if string(body) != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
	_, _, _, body = l.query("Action=DeleteSubnet SubnetId=subnet-0123456789abcdef0")
	id = between(body, "<RequestID>", "</RequestID>")
	want = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<Response><Errors><Error><Code>InvalidSubnetID.NotFound</Code>` +
		`<Message>The subnet ID &#39;subnet-0123456789abcdef0&#39; does not exist</Message></Error></Errors><RequestID>` + id + `</RequestID></Response>`
	if string(body) != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
}

func between(body []byte, from, to string) string {
	_, rest, _ := strings.Cut(string(body), from)
	text, _, _ := strings.Cut(rest, to)
	return text
}

// TestPages walks through lists in pages while things are deleted, and by the SDK's paginator.
func TestPages(t *testing.T) {
	l := newLab(t)
	for i := range 12 {
		must(l.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{GroupName: aws.String(fmt.Sprint("g", i)), Description: aws.String("x")}))(t)
	}
	var ids []string
	pages := awsec2.NewDescribeSecurityGroupsPaginator(l.Client, &awsec2.DescribeSecurityGroupsInput{MaxResults: aws.Int32(5)})
	for n := 0; pages.HasMorePages(); n++ {
		out := must(pages.NextPage(ctx))(t)
		for _, g := range out.SecurityGroups {
			ids = append(ids, *g.GroupId)
		}
		if n == 0 {
			for _, g := range out.SecurityGroups {
				if *g.GroupName != "default" {
					must(l.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: g.GroupId}))(t)
				}
			}
		}
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 13 {
		t.Errorf("saw %d groups, want 13", len(ids))
	}
	typePages, all := awsec2.NewDescribeInstanceTypesPaginator(l.Client, &awsec2.DescribeInstanceTypesInput{}), 0
	for n := 0; typePages.HasMorePages(); n++ {
		all += len(must(typePages.NextPage(ctx))(t).InstanceTypes)
		if n == 0 && all != 100 {
			t.Errorf("%d types on the first page", all)
		}
	}
	if all < 300 {
		t.Errorf("%d instance types", all)
	}
}

// TestImages: a search by name alone finds an image that isn't Canonical's, as the newest.
func TestImages(t *testing.T) {
	l := newLab(t)
	byName := []types.Filter{{Name: aws.String("name"), Values: []string{"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"}}}
	newest := func(owners ...string) types.Image {
		out := must(l.DescribeImages(ctx, &awsec2.DescribeImagesInput{Owners: owners, Filters: byName}))(t)
		return slices.MaxFunc(out.Images, func(a, b types.Image) int { return strings.Compare(*a.CreationDate, *b.CreationDate) })
	}
	if *newest().OwnerId == ownerCanonical || *newest(ownerCanonical).OwnerId != ownerCanonical {
		t.Error("the impostor is not the newest by name, or is Canonical's")
	}
	if *newest("amazon").OwnerId != ownerCanonical {
		t.Error("Canonical's images are not under the alias")
	}
	other := l.client("us-east-1", testKey, testSecret)
	there := must(other.DescribeImages(ctx, &awsec2.DescribeImagesInput{Owners: []string{ownerCanonical}, Filters: byName}))(t)
	for _, i := range there.Images {
		if *i.ImageId == *newest(ownerCanonical).ImageId {
			t.Error("an image has the same id in two regions")
		}
	}
	if n := len(must(l.DescribeImages(ctx, &awsec2.DescribeImagesInput{Owners: []string{"self"}}))(t).Images); n != 0 {
		t.Errorf("%d images of our own", n)
	}
	_, err := l.DescribeImages(ctx, &awsec2.DescribeImagesInput{ImageIds: []string{"ami-0123456789abcdef0"}})
	wantCode(t, err, "InvalidAMIID.NotFound")
	_, err = l.DescribeImages(ctx, &awsec2.DescribeImagesInput{ImageIds: []string{"ubuntu"}})
	wantCode(t, err, "InvalidAMIID.Malformed")
}

// FuzzServe sends anything to the whole service, past the signature: no panic, and always an answer in EC2's form.
func FuzzServe(f *testing.F) {
	f.Add("Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0/16")
	f.Add("Action=AuthorizeSecurityGroupIngress&Version=2016-11-15&GroupName=default&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1&IpPermissions.1.ToPort=2&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8")
	s := newService(f)
	f.Fuzz(func(t *testing.T, text string) {
		form, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		form.Set("Version", ec2Version)
		if form.Get("Action") == "CreateKeyPair" {
			return // slow
		}
		_, err = s.serveEC2(ctx, "id", form, query.OK, query.Scope{Service: "ec2", Region: testRegion})
		if err != nil && err.Error() == "" {
			t.Errorf("%q: an empty error", text)
		}
	})
}
