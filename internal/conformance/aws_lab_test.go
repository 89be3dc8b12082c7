package conformance_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/botocore"
	labec2 "github.com/skyweld/skyweld/lab/ec2"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const (
	awsKey    = "AKIAIOSFODNN7EXAMPLE"
	awsSecret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
	awsRegion = "us-east-1"
)

// awsLab is the lab's EC2 behind TLS, with a driver's account for it.
type awsLab struct {
	*gate
	account cloud.Account
}

func newAWSLab(t *testing.T, profile world.Profile) *awsLab {
	t.Helper()
	service, err := labec2.New(labec2.Config{
		Physical: paper.New(), Dir: t.TempDir(), AccountID: "123456789012",
		AccessKeyID: awsKey, SecretAccessKey: awsSecret, Profile: profile, Pools: paper.Pools(),
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &awsLab{gate: newGate()}
	l.dialect = service.Dialect()
	l.open(t, "EC2", awsJudged(t, service), service.Close)
	l.account = cloud.Account{
		Name: "lab", Provider: cloud.AWS,
		Settings: map[string]string{aws.SettingEndpoint: l.server.URL, aws.SettingRegion: awsRegion},
		Secrets:  map[string]cloud.Secret{aws.SecretAccessKeyID: awsKey, aws.SecretAccessKey: awsSecret},
		CA:       l.ca(),
	}
	return l
}

// awsTally counts all calls of this package's tests to labs like EC2.
var awsTally = botocore.NewTally()

// awsJudged serves a handler. Where botocore is installed, every request of the driver and every answer of the lab is held
// against Amazon's own description of the API.
func awsJudged(t *testing.T, h http.Handler) http.Handler {
	j, err := botocore.NewJudge(t.Errorf)
	if err != nil {
		return h
	}
	j.Tally = awsTally
	return j.Handler(h)
}

// driver opens the account. The policy for users stands in front of the lab.
func (l *awsLab) driver(t *testing.T, secret string) cloud.Driver {
	t.Helper()
	account := l.account
	account.Secrets = map[string]cloud.Secret{aws.SecretAccessKeyID: awsKey, aws.SecretAccessKey: cloud.Secret(secret)}
	d, err := aws.New(t.Context(), account, counting(t, cloud.AWS, awsNeeds, l.guarded(awsPolicy(t), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// client is a client of EC2 that goes behind the driver's back.
func (l *awsLab) client() *ec2.Client {
	return ec2.New(ec2.Options{
		Region: awsRegion, BaseEndpoint: &l.server.URL, HTTPClient: l.server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(awsKey, awsSecret, ""),
	})
}

func TestAWSOnTheLab(t *testing.T) {
	t.Cleanup(func() {
		t.Logf("held against botocore's model, where it is installed: %v\n%s", awsTally, awsTally.Detail())
	})
	for _, profile := range []world.Profile{world.Instant, world.Quick} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			var lab *awsLab // of the test that runs
			cloudtest.Run(t, cloudtest.Harness{
				New: func(t *testing.T) cloud.Driver {
					lab = newAWSLab(t, profile)
					return lab.driver(t, awsSecret)
				},
				Region: awsRegion, Zones: []string{"us-east-1a", "us-east-1b", "us-east-1c"},
				Change: awsChange, UnknownSize: "m6i.xxlarge", TinySize: "t3.nano", TooMany: true,
				WrongCredentials: func(t *testing.T) cloud.Driver {
					return newAWSLab(t, profile).driver(t, "wrong")
				},
				Terminate: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
					in := &ec2.TerminateInstancesInput{InstanceIds: []string{m.ID}}
					if _, err := lab.client().TerminateInstances(t.Context(), in); err != nil {
						t.Fatal(err)
					}
				},
				Stop: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
					if _, err := lab.client().StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{m.ID}}); err != nil {
						t.Fatal(err)
					}
				},
				Stall:   func(*testing.T, cloud.Driver) func() { return lab.stall() },
				Timeout: 90 * time.Second,
			})
		})
	}
}

// awsChange makes the changes that the suite can't make by itself.
func awsChange(r cloud.Resource, field string) any {
	s, ok := r.Spec.(*aws.InstanceSpec)
	if !ok {
		return nil
	}
	c := *s
	switch field {
	case "metadata":
		c.Metadata.TokensRequired, c.Metadata.HopLimit = false, 2
	case "securityGroups": // there must be one
		c.SecurityGroups = []string{"conf-sg-control-plane"}
	default:
		return nil
	}
	return &c
}
