package ec2

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfKQtNVmRW2lUcH8A1D5EYsFMUCLL1GHzLmQ5qXhYDk"

// machine asks the metadata service as one of a VPC's machines.
type machine struct {
	t    *testing.T
	http http.Handler
	addr string
}

func (m machine) ask(method, path string, headers ...string) (int, string) {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = m.addr + ":40000"
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	m.http.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func (m machine) token() string {
	m.t.Helper()
	status, token := m.ask("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "21600")
	if status != 200 || token == "" {
		m.t.Fatalf("no token: %d %s", status, token)
	}
	return token
}

func TestMetadata(t *testing.T) {
	l := newLab(t)
	s := l.site("10.0.0.0/16", "10.0.1.0/24")
	must(l.ImportKeyPair(ctx, &awsec2.ImportKeyPairInput{KeyName: aws.String("me"), PublicKeyMaterial: []byte(publicKey + " me@home\n")}))(t)
	userData := "#cloud-config\nruncmd: []\n"
	i := l.runOne(s, func(in *awsec2.RunInstancesInput) {
		in.KeyName, in.UserData = aws.String("me"), aws.String(base64.StdEncoding.EncodeToString([]byte(userData)))
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired}
	})
	eip := must(l.AllocateAddress(ctx, &awsec2.AllocateAddressInput{}))(t)
	must(l.AssociateAddress(ctx, &awsec2.AssociateAddressInput{AllocationId: eip.AllocationId, InstanceId: i.InstanceId}))(t)
	m := machine{t, l.Metadata(s.vpc), *i.PrivateIpAddress}

	if status, _ := m.ask("GET", "/latest/meta-data/"); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	if status, _ := m.ask("PUT", "/latest/api/token"); status != 400 {
		t.Errorf("a token without a life time: %d", status)
	}
	if status, _ := m.ask("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60", "X-Forwarded-For", "1.2.3.4"); status != 403 {
		t.Errorf("a token through a proxy: %d", status)
	}
	token := m.token()
	mac := *i.NetworkInterfaces[0].MacAddress
	for path, want := range map[string]string{
		"ami-id": *i.ImageId, "hostname": "ip-10-0-1-4.eu-central-1.compute.internal", "instance-id": *i.InstanceId, "instance-type": "t3.small",
		"local-ipv4": "10.0.1.4", "mac": mac, "placement/availability-zone": "eu-central-1a", "placement/region": "eu-central-1",
		"public-ipv4": *eip.PublicIp, "public-keys/": "0=me", "public-keys/0/": "openssh-key", "public-keys/0/openssh-key": publicKey + " me",
		"security-groups": "nodes", "services/": "domain\npartition", "network/interfaces/macs/": mac + "/",
		"network/interfaces/macs/" + mac + "/subnet-ipv4-cidr-block":             "10.0.1.0/24",
		"network/interfaces/macs/" + mac + "/ipv4-associations/" + *eip.PublicIp: "10.0.1.4",
		"network/interfaces/macs/" + mac + "/device-number":                      "0",
		"block-device-mapping/": "ami\nroot",
	} {
		for _, version := range []string{"latest", "2021-03-23", "2009-04-04"} {
			if status, got := m.ask("GET", "/"+version+"/meta-data/"+path, tokenHeader, token); status != 200 || got != want {
				t.Errorf("%s %s: %d %q, want %q", version, path, status, got, want)
			}
		}
	}
	if _, list := m.ask("GET", "/latest/meta-data", tokenHeader, token); !strings.Contains(list, "\nnetwork/\n") || !strings.Contains(list, "\npublic-keys/\n") {
		t.Errorf("the listing lacks folders:\n%s", list)
	}
	if _, got := m.ask("GET", "/2021-03-23/user-data", tokenHeader, token); got != userData {
		t.Errorf("user data %q", got)
	}
	if status, _ := m.ask("GET", "/latest/meta-data/colour", tokenHeader, token); status != 404 {
		t.Errorf("unknown name: %d", status)
	}
	_, text := m.ask("GET", "/latest/dynamic/instance-identity/document", tokenHeader, token)
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc["region"] != "eu-central-1" || doc["instanceId"] != *i.InstanceId {
		t.Errorf("identity document %s: %v", text, err)
	}
	stranger := machine{t, m.http, "10.0.1.77"}
	if status, _ := stranger.ask("GET", "/latest/meta-data/", tokenHeader, token); status != 404 {
		t.Errorf("an unknown address: %d", status)
	}

	l.setClock(time.Now().Add(7 * time.Hour))
	if status, _ := m.ask("GET", "/latest/meta-data/", tokenHeader, token); status != 401 {
		t.Errorf("an old token: %d", status)
	}
	l.setClock(time.Time{})
	must(l.ModifyInstanceMetadataOptions(ctx, &awsec2.ModifyInstanceMetadataOptionsInput{InstanceId: i.InstanceId, HttpTokens: types.HttpTokensStateOptional}))(t)
	if status, _ := m.ask("GET", "/latest/meta-data/"); status != 200 {
		t.Errorf("version 1 where it is allowed: %d", status)
	}
	if status, _ := m.ask("GET", "/latest/meta-data/", tokenHeader, "forged"); status != 401 {
		t.Errorf("a forged token: %d", status)
	}
	must(l.ModifyInstanceMetadataOptions(ctx, &awsec2.ModifyInstanceMetadataOptionsInput{InstanceId: i.InstanceId, HttpEndpoint: types.InstanceMetadataEndpointStateDisabled}))(t)
	if status, _ := m.ask("GET", "/latest/meta-data/"); status != 403 {
		t.Errorf("a closed endpoint: %d", status)
	}
}

func TestKeyPairs(t *testing.T) {
	l := newLab(t)
	made := must(l.CreateKeyPair(ctx, &awsec2.CreateKeyPairInput{KeyName: aws.String("rsa")}))(t)
	if !strings.HasPrefix(*made.KeyMaterial, "-----BEGIN RSA PRIVATE KEY-----\n") || strings.Count(*made.KeyFingerprint, ":") != 19 {
		t.Errorf("key %.40q, fingerprint %s", *made.KeyMaterial, *made.KeyFingerprint)
	}
	made = must(l.CreateKeyPair(ctx, &awsec2.CreateKeyPairInput{KeyName: aws.String("ed"), KeyType: types.KeyTypeEd25519}))(t)
	if !strings.HasPrefix(*made.KeyMaterial, "-----BEGIN OPENSSH PRIVATE KEY-----\n") {
		t.Errorf("key %.40q", *made.KeyMaterial)
	}
	_, err := l.CreateKeyPair(ctx, &awsec2.CreateKeyPairInput{KeyName: aws.String("ed")})
	wantCode(t, err, "InvalidKeyPair.Duplicate")
	_, err = l.ImportKeyPair(ctx, &awsec2.ImportKeyPairInput{KeyName: aws.String("x"), PublicKeyMaterial: []byte("my key")})
	wantCode(t, err, "InvalidKey.Format")
	keys := must(l.DescribeKeyPairs(ctx, &awsec2.DescribeKeyPairsInput{KeyNames: []string{"rsa", "ed"}, IncludePublicKey: aws.Bool(true)}))(t).KeyPairs
	if len(keys) != 2 || !strings.HasPrefix(*keys[0].PublicKey, "ssh-") {
		t.Errorf("%d keys", len(keys))
	}
	must(l.DeleteKeyPair(ctx, &awsec2.DeleteKeyPairInput{KeyName: aws.String("rsa")}))(t)
	must(l.DeleteKeyPair(ctx, &awsec2.DeleteKeyPairInput{KeyName: aws.String("rsa")}))(t)
	_, err = l.DescribeKeyPairs(ctx, &awsec2.DescribeKeyPairsInput{KeyNames: []string{"rsa"}})
	wantCode(t, err, "InvalidKeyPair.NotFound")
}
