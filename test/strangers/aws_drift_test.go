package strangers_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
)

// TestAWSDrifts breaks things of every kind with the AWS command line; the engine repairs them.
func TestAWSDrifts(t *testing.T) {
	c := newAWSCLI(t)
	account := cloud.Account{
		Provider: cloud.AWS, Settings: map[string]string{aws.SettingEndpoint: c.lab.url, aws.SettingRegion: awsRegion},
		Secrets: map[string]cloud.Secret{aws.SecretAccessKeyID: awsKey, aws.SecretAccessKey: awsSecret},
	}
	k := newKeeper(t, account, awsRegion, func(ctx context.Context, a cloud.Account, wrap cloud.Transport) (cloud.Driver, error) {
		return aws.New(ctx, a, wrap)
	})
	k.testDrifts(k.driver.Kinds(), func(command string) (string, error) {
		res := c.run(strings.TrimPrefix(command, "aws "))
		if res.Code != 0 {
			return "", fmt.Errorf("exit code %d: %s", res.Code, res.Err)
		}
		return res.Out, nil
	})
}
