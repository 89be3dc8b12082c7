package ec2

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCLI uses the lab as somebody with Amazon's command line would: make, wait, list, delete in the wrong and the right
// order.
func TestCLI(t *testing.T) {
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("needs the aws command line (pip install awscli)")
	}
	l := newLab(t)
	home := t.TempDir()
	userData := filepath.Join(home, "user-data")
	if err := os.WriteFile(userData, []byte("#cloud-config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "aws", args...)
		others := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "AWS_") })
		cmd.Env = append(others, "AWS_CONFIG_FILE="+filepath.Join(home, "none"), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(home, "none"),
			"AWS_ENDPOINT_URL="+l.url, "AWS_ACCESS_KEY_ID="+testKey, "AWS_SECRET_ACCESS_KEY="+testSecret, "AWS_DEFAULT_REGION="+testRegion,
			"AWS_PAGER=", "AWS_MAX_ATTEMPTS=1")
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	get := func(line, query string) string {
		t.Helper()
		out, err := run(append(strings.Fields(line), "--output", "text", "--query", query)...)
		if err != nil {
			t.Fatalf("aws %s: %v\n%s", line, err, out)
		}
		return out
	}
	refused := func(line, code string) {
		t.Helper()
		if out, err := run(strings.Fields(line)...); err == nil || !strings.Contains(out, "("+code+")") {
			t.Errorf("aws %s: %s, want %s", line, out, code)
		}
	}
	if got := get("sts get-caller-identity", "Account"); got != testAccount {
		t.Errorf("account %s", got)
	}
	vpc := get("ec2 create-vpc --cidr-block 10.0.0.0/16 --tag-specifications ResourceType=vpc,Tags=[{Key=Name,Value=cli}]", "Vpc.VpcId")
	subnet := get("ec2 create-subnet --vpc-id "+vpc+" --cidr-block 10.0.0.0/24", "Subnet.SubnetId")
	image := get("ec2 describe-images --owners amazon --filters Name=name,Values=debian-12-arm64-*", "sort_by(Images,&CreationDate)[-1].ImageId")
	id := get("ec2 run-instances --image-id "+image+" --instance-type t4g.small --subnet-id "+subnet+" --user-data file://"+userData, "Instances[0].InstanceId")
	get("ec2 wait instance-running --instance-ids "+id, "@")
	if got := get("ec2 describe-instances --filters Name=vpc-id,Values="+vpc+" Name=instance-state-name,Values=running", "Reservations[].Instances[].InstanceId"); got != id {
		t.Errorf("found %s, want %s", got, id)
	}
	refused("ec2 delete-subnet --subnet-id "+subnet, "DependencyViolation")
	refused("ec2 delete-vpc --vpc-id "+vpc+" --dry-run", "DependencyViolation")
	get("ec2 terminate-instances --instance-ids "+id, "@")
	get("ec2 wait instance-terminated --instance-ids "+id, "@")
	get("ec2 delete-subnet --subnet-id "+subnet, "@")
	refused("ec2 delete-vpc --vpc-id "+vpc+" --dry-run", "DryRunOperation")
	get("ec2 delete-vpc --vpc-id "+vpc, "@")
	refused("ec2 describe-vpcs --vpc-ids "+vpc, "InvalidVpcID.NotFound")
}
