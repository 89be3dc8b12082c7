package aws

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/smithy-go"

	"github.com/skyweld/skyweld/cloud"
)

// motoFault is something that moto does otherwise than EC2. Each is probed before the suite runs, and an exception holds
// only while the fault is there: a mended moto judges the driver in full.
type motoFault struct {
	name  string          // what moto does
	real  string          // what EC2 does
	skips string          // the part of the suite that can't pass; empty: none, but moto can't judge that
	frees cloud.Kind      // whose deletion while in use isn't refused
	wraps cloud.Transport // what answers in its place
	has   func(ctx context.Context, s *motoSite) (bool, error)
}

var motoFaults = []motoFault{
	{
		name: "breaks (500) over a private address that is taken", real: "InvalidIPAddress.InUse", skips: "Lifecycle/TakenAddress",
		has: func(ctx context.Context, s *motoSite) (bool, error) {
			_, err := s.run(ctx, "")
			return isInternal(err), nil
		},
	},
	{
		name: "lets an associated address go", real: "InvalidIPAddress.InUse", frees: kindAddress,
		has: func(ctx context.Context, s *motoSite) (bool, error) {
			address, err := s.address(ctx)
			if err != nil {
				return false, err
			}
			_, err = s.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: address.AllocationId})
			return err == nil, nil
		},
	},
	{
		name: "has no GetAWSDefaultServiceQuota (500)", real: "NoSuchResourceException, or the default", wraps: noSuchQuota,
		has: func(ctx context.Context, s *motoSite) (bool, error) {
			quotas := servicequotas.New(servicequotas.Options{
				Region: "us-east-1", BaseEndpoint: &s.url, Credentials: s.Options().Credentials, Retryer: sdk.NopRetryer{},
			})
			_, err := quotas.GetAWSDefaultServiceQuota(ctx, &servicequotas.GetAWSDefaultServiceQuotaInput{
				ServiceCode: sdk.String("ec2"), QuotaCode: sdk.String("L-0263D0A3"),
			})
			return isInternal(err), nil
		},
	},
	{
		name: "lets a subnet go that an instance is in", real: "DependencyViolation",
		has: func(ctx context.Context, s *motoSite) (bool, error) {
			_, err := s.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &s.subnet})
			return err == nil, nil
		},
	},
	{
		name: "lets a group go that an instance has", real: "DependencyViolation",
		has: func(ctx context.Context, s *motoSite) (bool, error) {
			_, err := s.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &s.group})
			return err == nil, nil
		},
	},
	{
		name: "detaches an internet gateway with a mapped address", real: "DependencyViolation",
		has: func(ctx context.Context, s *motoSite) (bool, error) {
			if _, err := s.address(ctx); err != nil {
				return false, err
			}
			_, err := s.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &s.gateway, VpcId: &s.vpc})
			return err == nil, nil
		},
	},
	{
		name: "leaves the interface of a terminated instance", real: "it goes with the instance",
		has: func(ctx context.Context, s *motoSite) (bool, error) {
			if _, err := s.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{s.instance}}); err != nil {
				return false, err
			}
			out, err := s.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{
				Filters: []types.Filter{{Name: sdk.String("vpc-id"), Values: []string{s.vpc}}},
			})
			return err == nil && len(out.NetworkInterfaces) > 0, err
		},
	},
	{
		name: "runs two instances for one client token", real: "the same one again",
		has: func(ctx context.Context, s *motoSite) (bool, error) {
			one, err := s.run(ctx, "10.0.0.20")
			if err != nil {
				return false, err
			}
			two, err := s.run(ctx, "10.0.0.21") // EC2: IdempotentParameterMismatch
			return err == nil && one != two, nil
		},
	},
	{
		name: "ignores MaxResults", real: "pages of that size",
		has: func(ctx context.Context, s *motoSite) (bool, error) {
			for range 6 {
				if _, err := s.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{}); err != nil {
					return false, err
				}
			}
			out, err := s.DescribeInternetGateways(ctx, &ec2.DescribeInternetGatewaysInput{MaxResults: sdk.Int32(5)})
			return err == nil && len(out.InternetGateways) > 5, err
		},
	},
	{
		name: "hands out public addresses of 127.0.0.0/8", real: "public ones",
		has: func(ctx context.Context, s *motoSite) (bool, error) {
			a, err := s.address(ctx)
			if err != nil {
				return false, err
			}
			ip, err := netip.ParseAddr(sdk.ToString(a.PublicIp))
			return ip.IsLoopback(), err
		},
	},
}

// isInternal says whether a call broke the server.
func isInternal(err error) bool {
	var status interface{ HTTPStatusCode() int }
	var api smithy.APIError
	return errors.As(err, &status) && status.HTTPStatusCode() == 500 || errors.As(err, &api) && api.ErrorCode() == "InternalError"
}

// motoSite is a small network with an instance in it, made with the SDK alone.
type motoSite struct {
	*ec2.Client
	url, vpc, subnet, gateway, group, instance string
}

func newMotoSite(ctx context.Context, c *ec2.Client, url string) (*motoSite, error) {
	s := &motoSite{Client: c, url: url}
	vpc, err := c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.0.0.0/16")})
	if err != nil {
		return nil, err
	}
	s.vpc = *vpc.Vpc.VpcId
	subnet, err := c.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &s.vpc, CidrBlock: sdk.String("10.0.0.0/24")})
	if err != nil {
		return nil, err
	}
	s.subnet = *subnet.Subnet.SubnetId
	gateway, err := c.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{})
	if err != nil {
		return nil, err
	}
	s.gateway = *gateway.InternetGateway.InternetGatewayId
	if _, err := c.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: &s.gateway, VpcId: &s.vpc}); err != nil {
		return nil, err
	}
	group, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: sdk.String("g"), Description: sdk.String("g"), VpcId: &s.vpc})
	if err != nil {
		return nil, err
	}
	s.group = *group.GroupId
	s.instance, err = s.run(ctx, "10.0.0.10")
	return s, err
}

// run starts an instance with a private address, that of the first one when empty. All have the same client token.
func (s *motoSite) run(ctx context.Context, address string) (string, error) {
	if address == "" {
		address = "10.0.0.10"
	}
	out, err := s.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: sdk.String(motoImageID), InstanceType: types.InstanceTypeT3Small, MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1),
		SubnetId: &s.subnet, SecurityGroupIds: []string{s.group}, PrivateIpAddress: &address, ClientToken: sdk.String("once"),
	})
	if err != nil {
		return "", err
	}
	return *out.Instances[0].InstanceId, nil
}

// address gives the instance a public address.
func (s *motoSite) address(ctx context.Context) (*ec2.AllocateAddressOutput, error) {
	a, err := s.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc})
	if err != nil {
		return nil, err
	}
	_, err = s.AssociateAddress(ctx, &ec2.AssociateAddressInput{AllocationId: a.AllocationId, InstanceId: &s.instance})
	return a, err
}

// noSuchQuota answers GetAWSDefaultServiceQuota as Service Quotas does when it doesn't know a quota.
func noSuchQuota(next http.RoundTripper) http.RoundTripper {
	return transport(func(r *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetAWSDefaultServiceQuota") {
			return next.RoundTrip(r)
		}
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		w.WriteString(`{"__type": "NoSuchResourceException", "message": "The request failed because the specified quota does not exist."}`)
		return w.Result(), nil
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// motoExceptions are what follows from the faults that this moto has.
type motoExceptions struct {
	skip    map[string]string // of the suite, with reasons
	blocked []cloud.Kind      // whose deletion moto refuses
	wraps   []cloud.Transport
}

// probeMoto looks which of its faults this moto has.
func probeMoto(t *testing.T, url string, c *ec2.Client) motoExceptions {
	t.Helper()
	except := motoExceptions{skip: map[string]string{}}
	free := map[cloud.Kind]bool{}
	for _, f := range motoFaults {
		reset(t, url)
		s, err := newMotoSite(t.Context(), c, url)
		if err != nil {
			t.Fatalf("make a site at moto: %v", err)
		}
		has, err := f.has(t.Context(), s)
		if err != nil {
			t.Fatalf("see whether moto %s: %v", f.name, err)
		}
		if !has {
			t.Logf("mended in this moto: it %s no more", f.name)
			continue
		}
		if f.skips != "" {
			except.skip[f.skips] = "moto " + f.name + "; EC2: " + f.real
		}
		if f.wraps != nil {
			except.wraps = append(except.wraps, f.wraps)
		}
		free[f.frees] = true
	}
	for _, k := range []cloud.Kind{kindVPC, kindAddress} { // what depends on nothing, and others on it
		if !free[k] {
			except.blocked = append(except.blocked, k)
		}
	}
	return except
}
