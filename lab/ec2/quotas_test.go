package ec2

import (
	"errors"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/smithy-go"
)

func (l *lab) quotas(region, key, secret string) *servicequotas.Client {
	return servicequotas.New(servicequotas.Options{
		Region: region, BaseEndpoint: sdk.String(l.url), Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""), RetryMaxAttempts: 1,
	})
}

func codeOf(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// TestServiceQuotas asks Amazon's own client for limits, in all the ways the lab knows.
func TestServiceQuotas(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Limits = Limits{VCPUs: 12, VPCs: 3} })
	c := l.quotas(testRegion, testKey, testSecret)
	for code, want := range map[string]float64{"L-1216C47A": 12, "L-DB2E81BA": 12, "L-0263D0A3": 5} {
		out, err := c.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: sdk.String("ec2"), QuotaCode: sdk.String(code)})
		if err != nil || *out.Quota.Value != want || *out.Quota.QuotaCode != code || !out.Quota.Adjustable {
			t.Errorf("%s: %+v %v", code, out, err)
		}
	}
	own, err := c.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: sdk.String("vpc"), QuotaCode: sdk.String("L-F678F1CE")})
	if err != nil || *own.Quota.Value != 3 || own.Quota.QuotaAppliedAtLevel != "ACCOUNT" {
		t.Errorf("VPCs: %+v %v", own, err)
	}
	standard, err := c.GetAWSDefaultServiceQuota(ctx, &servicequotas.GetAWSDefaultServiceQuotaInput{ServiceCode: sdk.String("vpc"), QuotaCode: sdk.String("L-F678F1CE")})
	if err != nil || *standard.Quota.Value != 5 {
		t.Errorf("VPCs of everybody: %+v %v", standard, err)
	}
	seen := map[string]bool{}
	pages := servicequotas.NewListServiceQuotasPaginator(c, &servicequotas.ListServiceQuotasInput{ServiceCode: sdk.String("ec2"), MaxResults: sdk.Int32(4)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range page.Quotas {
			if seen[*q.QuotaCode] {
				t.Errorf("%s is listed twice", *q.QuotaCode)
			}
			seen[*q.QuotaCode] = true
		}
	}
	if len(seen) != 11 || !seen["L-1216C47A"] {
		t.Errorf("listed: %v", seen)
	}
	for name, test := range map[string]struct {
		client  *servicequotas.Client
		service string
		want    string
	}{
		"unknown quota":  {c, "ec2", "NoSuchResourceException"},
		"wrong secret":   {l.quotas(testRegion, testKey, "wrong"), "ec2", "InvalidSignatureException"},
		"wrong key":      {l.quotas(testRegion, "AKIAOTHER", "wrong"), "ec2", "UnrecognizedClientException"},
		"no such region": {l.quotas("xx-none-1", testKey, testSecret), "ec2", "UnrecognizedClientException"},
	} {
		_, err := test.client.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: sdk.String(test.service), QuotaCode: sdk.String("L-00000000")})
		if codeOf(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	if _, err := c.ListServices(ctx, &servicequotas.ListServicesInput{}); codeOf(err) != "UnknownOperationException" {
		t.Errorf("an operation that isn't here: %v", err)
	}
}
