package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/botocore"
)

// moto starts a moto server, EC2 as strangers understand it, and returns its URL.
func moto(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("takes half a minute: not with -short")
	}
	program, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("needs moto_server: pip install 'moto[server]'")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	images := filepath.Join(t.TempDir(), "images.json")
	data, err := json.Marshal([]map[string]any{motoImage(motoImageID, "20240423"), motoImage("ami-0bbbbbbbbbbbbbbbb", "20250610")})
	if err == nil {
		err = os.WriteFile(images, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	start, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var log bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, "-H", "127.0.0.1", "-p", port)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), "MOTO_AMIS_PATH="+images, "MOTO_ENABLE_AMI_VALIDATION=true",
		"MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION=true", "MOTO_ENABLE_KEYPAIR_VALIDATION=true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("moto said:\n%s", log.Bytes()[max(0, log.Len()-4000):])
		}
	})
	err = cloudtest.Await(start, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	if err != nil {
		t.Fatalf("moto didn't come up: %v", err)
	}
	return "http://" + address
}

const motoImageID = "ami-0aaaaaaaaaaaaaaaa"

func motoImage(id, date string) map[string]any {
	return map[string]any{
		"ami_id": id, "name": "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-" + date, "owner_id": canonical,
		"description": "Canonical, Ubuntu, 24.04", // no date: moto 5 can't load one a second time, after a reset
		"public":      true, "virtualization_type": "hvm", "architecture": "x86_64", "state": "available", "platform": nil,
		"image_type": "machine", "hypervisor": "xen", "root_device_name": "/dev/sda1", "root_device_type": "ebs", "sriov": "simple",
	}
}

// TestMoto runs the suite at moto. Every request of the driver must be valid by botocore's model, where that is installed;
// what moto gets wrong is in motoFaults.
func TestMoto(t *testing.T) {
	url := moto(t)
	tally := botocore.NewTally()
	except := probeMoto(t, url, motoDriver(t, url, botocore.NewTally(), nil).in("us-east-1"))
	open := func(t *testing.T) cloud.Driver {
		reset(t, url)
		return motoDriver(t, url, tally, except.wraps)
	}
	cloudtest.Run(t, cloudtest.Harness{
		New: open, Region: "us-east-1", Zones: zones,
		Change: change,
		WrongCredentials: func(t *testing.T) cloud.Driver {
			askMoto(t, url, "/moto-api/reset-auth", "0") // from now on it looks at who asks
			t.Cleanup(func() { askMoto(t, url, "/moto-api/reset-auth", "inf") })
			return motoDriver(t, url, tally, except.wraps)
		},
		Terminate: func(t *testing.T, d cloud.Driver, o cloud.Object) {
			if err := terminate(t.Context(), d.(*Driver).in("us-east-1"), o.ID); err != nil {
				t.Fatal(err)
			}
		},
		Stop: func(t *testing.T, d cloud.Driver, o cloud.Object) {
			if _, err := d.(*Driver).in("us-east-1").StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{o.ID}}); err != nil {
				t.Fatal(err)
			}
		},
		UnknownSize: "m6i.huge", TinySize: "t3.nano",
		Blocked: except.blocked,
		Skip:    except.skip,
	})
	t.Logf("requests to moto: %v\n%s", tally, tally.Detail())
	if calls := tally.Calls(); len(calls) > 0 && !strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		for action := range called(t) {
			if _, name, _ := strings.Cut(action, ":"); calls[name] == 0 && motoNever[name] == "" {
				t.Errorf("the driver has %s, and the suite never called it at moto: no stranger judged that request", action)
			}
		}
	}
}

// motoNever are operations of the driver that the suite has no reason to call at moto.
var motoNever = map[string]string{
	"DescribeAccountAttributes": "in place of Service Quotas, where those may not be read; moto forbids none alone",
}

// motoDriver is a driver at moto whose requests are held against botocore's model and counted, behind what stands in for
// moto's faults.
func motoDriver(t *testing.T, url string, tally *botocore.Tally, wraps []cloud.Transport) *Driver {
	t.Helper()
	wrap := func(rt http.RoundTripper) http.RoundTripper {
		for _, w := range wraps {
			rt = w(rt)
		}
		if j, err := botocore.NewJudge(t.Errorf); err == nil {
			j.Answers, j.Tally = false, tally // moto's answers are its own business
			rt = j.Transport(rt)
		}
		return rt
	}
	d, err := New(t.Context(), cloud.Account{
		Name: "moto", Provider: cloud.AWS,
		Settings: map[string]string{SettingEndpoint: url, SettingRegion: "us-east-1"},
		Secrets:  map[string]cloud.Secret{SecretAccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"},
	}, wrap)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// change makes the changes that the suite can't make by itself.
func change(r cloud.Resource, field string) any {
	s, ok := r.Spec.(*InstanceSpec)
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

// reset empties moto.
func reset(t *testing.T, url string) {
	t.Helper()
	askMoto(t, url, "/moto-api/reset", "")
}

// askMoto calls moto's own interface, which EC2 hasn't.
func askMoto(t *testing.T, url, path, body string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // also in a test's cleanup
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("POST %s to moto: %s", path, res.Status)
	}
}
