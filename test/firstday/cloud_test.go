package firstday_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/oauth2"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/option"
)

// cloudCommands are the commands of the scripts cloud-*.txtar, which are about what clouds refuse, lose and delay.
var cloudCommands = map[string]func(*testscript.TestScript, bool, []string){"ownlab": ownLab, "until": until, "uid": setUID, "holds": holds, "stranger": stranger}

// TestMachines runs the scripts that need whole machines and the bundle, and a minute or two.
func TestMachines(t *testing.T) {
	t.Parallel()
	testscript.Run(t, params(filepath.Join("testdata", "machines")))
}

// bundleDir is where 'make bundle' puts its newest work, empty where there is none.
func bundleDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	dir := filepath.Join(cache, "skyweld", "bundle", "latest")
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
		return ""
	}
	return dir
}

// ownLab starts a lab for the script alone, as faults are for all who use a lab, and points the script at it: ownlab
// [FLAG...]. It has no bundle unless a flag says so.
func ownLab(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: ownlab [FLAG...]")
	}
	// Not in the script's folder: a socket's path is short, and the folder must outlive a failed clean-up.
	dir, err := os.MkdirTemp(filepath.Dir(labDir), "lab-")
	ts.Check(err)
	ts.Check(skyweld(append([]string{"lab", "start", "--detach", "--profile", "instant", "--bundle", "", "--dir", dir}, args...)...))
	ts.Defer(func() { ts.Check(skyweld("lab", "stop", "--purge", "--dir", dir)) })
	env, err := exportsOf(dir)
	ts.Check(err)
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		ts.Setenv(name, value)
	}
	ts.Setenv("LAB", dir)
	ts.Setenv("SKYWELD_LAB_DIR", dir)
}

// until repeats a command until it succeeds and its output matches: until SECONDS REGEXP COMMAND...
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: until SECONDS REGEXP COMMAND...")
	}
	patience, err := time.ParseDuration(args[0] + "s")
	ts.Check(err)
	want, err := regexp.Compile(`(?m)` + args[1])
	ts.Check(err)
	end := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[2], args[3:]...)
		if err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			ts.Fatalf("after %s: %v\n%s%s", patience, err, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
	}
}

// holds counts the lines of an account's inventory that match: holds N REGEXP ACCOUNT REGION
func holds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: holds N REGEXP ACCOUNT REGION")
	}
	ts.Check(ts.Exec("skyweld", "inventory", args[2], "--region", args[3]))
	all := ts.ReadFile("stdout")
	if n := len(regexp.MustCompile(`(?m)`+args[1]).FindAllString(all, -1)); strconv.Itoa(n) != args[0] {
		ts.Fatalf("%d lines match %s; want %s:\n%s", n, args[1], args[0], all)
	}
}

// setUID sets UID to a cluster's, and NAMES to what the names of its things begin with: uid CLUSTER
func setUID(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: uid CLUSTER")
	}
	ts.Check(ts.Exec("skyweld", "get", "clusters", args[0], "-o", "json"))
	m := regexp.MustCompile(`"uid": "([0-9a-f]{16})"`).FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("cluster %s has no uid", args[0])
	}
	ts.Setenv("UID", m[1])
	ts.Setenv("NAMES", "sw-"+m[1][:8])
}

// stranger makes something in the account as somebody else would, with the cloud's own client:
//
//	stranger vpc CIDR [CLUSTER KEY]    a VPC in us-east-1, with the mark of a cluster's resource if those are given
//	stranger group VPC NAME            a security group in a VPC, which is given by its CIDR
//	stranger network NAME [CLUSTER KEY]
//	stranger droplets NAME RANGE REGION   a VPC at DigitalOcean
//	stranger unregister NAMESPACE         not a thing: takes a resource provider from the subscription at Azure
func stranger(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: stranger vpc|group|network|droplets|unregister ...")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := labClient(ts.Getenv("LAB"))
	ts.Check(err)
	switch args[0] {
	case "vpc":
		ts.Check(strangersVPC(ctx, awsClient(ts, client), args[1], args[2:]))
	case "group":
		ts.Check(strangersGroup(ctx, awsClient(ts, client), args[1], args[2]))
	case "network":
		ts.Check(strangersNetwork(ctx, ts, client, args[1], args[2:]))
	case "droplets":
		ts.Check(strangersDroplets(ctx, ts, client, args[1], args[2], args[3]))
	case "unregister":
		ts.Check(unregister(ctx, ts, client, args[1]))
	default:
		ts.Fatalf("stranger can't make a %s", args[0])
	}
}

// labClient trusts a lab's certificate.
func labClient(dir string) (*http.Client, error) {
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("the lab's CA is no PEM")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}, nil
}

func awsClient(ts *testscript.TestScript, client *http.Client) *ec2.Client {
	return ec2.NewFromConfig(aws.Config{
		Region: "us-east-1", HTTPClient: client, BaseEndpoint: aws.String(ts.Getenv("AWS_ENDPOINT_URL")),
		Credentials: credentials.NewStaticCredentialsProvider(ts.Getenv("AWS_ACCESS_KEY_ID"), ts.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
	})
}

func strangersVPC(ctx context.Context, c *ec2.Client, cidr string, mark []string) error {
	in := &ec2.CreateVpcInput{CidrBlock: &cidr}
	if len(mark) == 2 {
		in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeVpc, Tags: []types.Tag{
			{Key: aws.String("skyweld-cluster"), Value: &mark[0]}, {Key: aws.String("skyweld-key"), Value: &mark[1]},
		}}}
	}
	_, err := c.CreateVpc(ctx, in)
	return err
}

func strangersGroup(ctx context.Context, c *ec2.Client, cidr, name string) error {
	out, err := c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{{Name: aws.String("cidr"), Values: []string{cidr}}}})
	if err != nil {
		return err
	}
	if len(out.Vpcs) != 1 {
		return fmt.Errorf("%d VPCs have the range %s", len(out.Vpcs), cidr)
	}
	_, err = c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{VpcId: out.Vpcs[0].VpcId, GroupName: &name, Description: aws.String("made by a stranger")})
	return err
}

func strangersNetwork(ctx context.Context, ts *testscript.TestScript, client *http.Client, name string, mark []string) error {
	text := "made by a stranger"
	if len(mark) == 2 {
		text = "skyweld-cluster=" + mark[0] + " skyweld-key=" + mark[1]
	}
	token, err := os.ReadFile(filepath.Join(ts.Getenv("LAB"), "google-token"))
	if err != nil {
		return err
	}
	client.Transport = &oauth2.Transport{Base: client.Transport, Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: string(token)})}
	api, err := compute.NewService(ctx, option.WithHTTPClient(client), option.WithEndpoint(ts.Getenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE")))
	if err != nil {
		return err
	}
	_, err = api.Networks.Insert(ts.Getenv("GOOGLE_CLOUD_PROJECT"), &compute.Network{
		Name: name, Description: text, ForceSendFields: []string{"AutoCreateSubnetworks"},
	}).Context(ctx).Do()
	return err
}
