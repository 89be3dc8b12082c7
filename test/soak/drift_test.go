package soak_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// variable is one of the environment that the lab gives programs.
func (w *soak) variable(name string) string {
	for _, v := range slices.Backward(w.Env) { // the last one counts
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	w.t.Fatalf("'skyweld lab env' has no %s", name)
	return ""
}

// client trusts the lab.
func (w *soak) client() *http.Client {
	pem, err := os.ReadFile(w.variable("AWS_CA_BUNDLE"))
	if err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

func (w *soak) ec2() *ec2.Client {
	return ec2.New(ec2.Options{
		Region: w.variable("AWS_REGION"), BaseEndpoint: aws.String(w.variable("AWS_ENDPOINT_URL")), HTTPClient: w.client(),
		Credentials: credentials.NewStaticCredentialsProvider(w.variable("AWS_ACCESS_KEY_ID"), w.variable("AWS_SECRET_ACCESS_KEY"), ""),
	})
}

// done says that a stranger's call was carried out: clouds have faults for strangers too.
func (w *soak) done(what string, err error) bool {
	if err != nil {
		w.t.Logf("a stranger could not %s: %v", what, err)
	}
	return err == nil
}

// awsMachine ends or stops the worker at AWS, if there is one.
func (w *soak) awsMachine(verb string) bool {
	ctx, api := context.Background(), w.ec2()
	out, err := api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{
		{Name: aws.String("tag:skyweld-key"), Values: []string{"aws-node-soak-web-*"}},
		{Name: aws.String("instance-state-name"), Values: []string{"running"}},
	}})
	if !w.done("list machines", err) || len(out.Reservations) == 0 {
		return false
	}
	id := aws.ToString(out.Reservations[0].Instances[0].InstanceId)
	if verb == "stop" {
		_, err = api.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}})
	} else {
		_, err = api.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	}
	return w.done(verb+" "+id, err)
}

// awsRule takes one rule out of one of the cluster's security groups.
func (w *soak) awsRule() bool {
	ctx, api := context.Background(), w.ec2()
	out, err := api.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{{Name: aws.String("tag-key"), Values: []string{"skyweld-key"}}}})
	if !w.done("list groups", err) {
		return false
	}
	for _, g := range out.SecurityGroups {
		if len(g.IpPermissions) == 0 {
			continue
		}
		_, err := api.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{
			GroupId: g.GroupId, IpPermissions: []types.IpPermission{g.IpPermissions[w.rnd.IntN(len(g.IpPermissions))]},
		})
		return w.done("remove a rule", err)
	}
	return false
}

// awsAddress takes the public address off the control-plane node.
func (w *soak) awsAddress() bool {
	ctx, api := context.Background(), w.ec2()
	out, err := api.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{})
	if !w.done("list addresses", err) {
		return false
	}
	for _, a := range out.Addresses {
		if a.AssociationId != nil {
			_, err := api.DisassociateAddress(ctx, &ec2.DisassociateAddressInput{AssociationId: a.AssociationId})
			return w.done("detach an address", err)
		}
	}
	return false
}

// droplet does something to the first machine at DigitalOcean.
func (w *soak) droplet(method, path string, body any) bool {
	var list struct{ Droplets []struct{ ID int } }
	if !w.done("list droplets", w.ocean("GET", "/v2/droplets", nil, &list)) || len(list.Droplets) == 0 {
		return false
	}
	return w.done(method+" a droplet", w.ocean(method, fmt.Sprintf("/v2/droplets/%d%s", list.Droplets[0].ID, path), body, nil))
}

func (w *soak) ocean(method, path string, body, out any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, strings.TrimSuffix(w.variable("DIGITALOCEAN_API_URL"), "/")+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+w.variable("DIGITALOCEAN_TOKEN"))
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s (%w)", method, path, resp.Status, answer, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
