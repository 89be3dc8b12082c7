package strangers_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/internal/botocore"
	"github.com/skyweld/skyweld/lab/ec2"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const (
	awsAccount = "123456789012"
	awsKey     = "AKIALABSTRANGERS0001"
	awsSecret  = "lab/secret+of=strangers"
	awsRegion  = "us-east-1"

	awsScriptTime = 3 * time.Minute // far more than a script needs
)

// awsLab is the lab's EC2, with a judge in front who holds every answer against botocore's model. The strangers' requests
// are theirs.
type awsLab struct {
	url   string
	tally *botocore.Tally
}

func newAWSLab(t *testing.T, profile world.Profile) *awsLab {
	t.Helper()
	judge, err := botocore.NewJudge(t.Errorf)
	if err != nil {
		t.Skip(err)
	}
	judge.Requests = false
	service, err := ec2.New(ec2.Config{Physical: paper.New(), Dir: t.TempDir(), AccountID: awsAccount,
		AccessKeyID: awsKey, SecretAccessKey: awsSecret, Profile: profile, Pools: paper.Pools()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(judge.Handler(service))
	t.Cleanup(func() {
		server.Close()
		if err := service.Close(); err != nil {
			t.Errorf("close the lab's EC2: %v", err)
		}
		t.Logf("over the wire: %v", judge.Tally)
	})
	return &awsLab{url: server.URL, tally: judge.Tally}
}

// environment points Amazon's clients at the lab, and away from what the user has.
func (l *awsLab) environment(t *testing.T) []string {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	others := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "AWS_") })
	return append(others, "AWS_CONFIG_FILE="+none, "AWS_SHARED_CREDENTIALS_FILE="+none, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ENDPOINT_URL="+l.url, "AWS_ACCESS_KEY_ID="+awsKey, "AWS_SECRET_ACCESS_KEY="+awsSecret,
		"AWS_DEFAULT_REGION="+awsRegion, "AWS_REGION="+awsRegion, "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1")
}

// scriptFile is the path of one of our scripts. It looks at the file, so that go test knows that the test depends on it.
func scriptFile(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("aws", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}
