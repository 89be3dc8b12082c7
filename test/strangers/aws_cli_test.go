package strangers_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/lab/world"
)

// awsCLI is Amazon's command line, many calls in one process.
type awsCLI struct {
	t       *testing.T
	lab     *awsLab
	in      io.Writer
	answers *json.Decoder
	errors  *bytes.Buffer
	vars    map[string]string
	calls   int
	refused map[string]int // by code
}

// awsResult is what became of one command.
type awsResult struct {
	Code   int      `json:"rc"`
	Out    string   `json:"out"`
	Err    string   `json:"err"`
	Values []string `json:"values"`
}

func newAWSCLI(t *testing.T) *awsCLI {
	t.Helper()
	python := program(t, "python3", "https://www.python.org")
	if err := exec.CommandContext(t.Context(), python, "-c", "import awscli").Run(); err != nil {
		t.Skip("needs the AWS command line as a Python package: pip install awscli")
	}
	lab := newAWSLab(t, world.Instant)
	c := &awsCLI{t: t, lab: lab, vars: map[string]string{}, errors: &bytes.Buffer{}, refused: map[string]int{}}
	loop := scriptFile(t, "cli.py")
	// It outlives the test's context, which ends before the cleanup that ends it.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), python, loop)
	cmd.Env = lab.environment(t)
	cmd.Stderr = c.errors
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.in, c.answers = in, json.NewDecoder(out)
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("end the command line: %v\n%s", err, c.errors)
		}
		t.Logf("%d command lines, %d of them refused with %d codes", c.calls, total(c.refused), len(c.refused))
	})
	return c
}

func total(counts map[string]int) (n int) {
	for _, v := range counts {
		n += v
	}
	return n
}

// run runs one command, as typed after "aws".
func (c *awsCLI) run(command string, queries ...string) awsResult {
	c.t.Helper()
	c.calls++
	request, err := json.Marshal(map[string]any{"command": command, "queries": append([]string{}, queries...)})
	if err != nil {
		c.t.Fatal(err)
	}
	var res awsResult
	if _, err = c.in.Write(append(request, '\n')); err == nil {
		err = c.answers.Decode(&res)
	}
	if err != nil {
		c.t.Fatalf("aws %s: %v\n%s", command, err, c.errors)
	}
	return res
}

// awsStep is one command line of a script, with what is said of its outcome.
type awsStep struct {
	at      string // file and line
	command string
	expect  []string
}

// readAWSScript reads a script: a command line as typed after "aws", and below it, each indented, what must come of it:
//
//	get NAME QUERY       the value of a JMESPath query over the answer, kept as $NAME
//	is QUERY = VALUE     the value of a query
//	refused CODE [TEXT]  the refusal's code, and a part of its message
//	says TEXT            a part of what it prints
//
// Lines with # are comments.
func readAWSScript(t *testing.T, name string) []awsStep {
	t.Helper()
	f, err := os.Open(filepath.Join("aws", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var steps []awsStep
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), " ")
		text := strings.TrimSpace(line)
		switch {
		case text == "" || text[0] == '#':
		case line != text:
			steps[len(steps)-1].expect = append(steps[len(steps)-1].expect, text)
		default:
			steps = append(steps, awsStep{at: fmt.Sprintf("%s:%d", name, n), command: text})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

var awsVar = regexp.MustCompile(`\$[a-z][a-z0-9]*`)

// fill puts in what earlier steps kept.
func (c *awsCLI) fill(at, text string) string {
	c.t.Helper()
	return awsVar.ReplaceAllStringFunc(text, func(name string) string {
		v, ok := c.vars[name[1:]]
		if !ok {
			c.t.Fatalf("%s: %s was not kept by an earlier step", at, name)
		}
		return v
	})
}

// play runs a script. It goes on after a step that went wrong, unless that step had to keep something.
func (c *awsCLI) play(steps []awsStep) {
	c.t.Helper()
	for _, s := range steps {
		c.step(s)
	}
}

var awsRefusal = regexp.MustCompile(`An error occurred \(([A-Za-z.]+)\) when calling the \w+ operation(?: \(reached max retries: \d+\))?: (.*)`)

func (c *awsCLI) step(s awsStep) {
	t := c.t
	t.Helper()
	var queries []string
	for _, e := range s.expect {
		verb, rest, _ := strings.Cut(e, " ")
		switch verb {
		case "get":
			_, query, _ := strings.Cut(rest, " ")
			queries = append(queries, query)
		case "is":
			query, _, _ := strings.Cut(c.fill(s.at, rest), " = ")
			queries = append(queries, query)
		case "refused", "says":
		default:
			t.Fatalf("%s: %q is none of get, is, refused, says", s.at, verb)
		}
	}
	command := c.fill(s.at, s.command)
	res := c.run(command, queries...)
	m := awsRefusal.FindStringSubmatch(res.Err)
	if m != nil {
		c.refused[m[1]]++
	}
	wantsRefusal := slices.ContainsFunc(s.expect, func(e string) bool { return strings.HasPrefix(e, "refused ") })
	if (res.Code == 0) == wantsRefusal || wantsRefusal && m == nil {
		t.Errorf("%s: aws %s: exit code %d\n%s%s", s.at, command, res.Code, res.Out, res.Err)
	}
	for _, e := range s.expect {
		verb, rest, _ := strings.Cut(e, " ")
		rest = c.fill(s.at, rest)
		switch verb {
		case "get":
			if res.Code != 0 || res.Values[0] == "null" || res.Values[0] == "" {
				t.Fatalf("%s: aws %s: no value for %s\n%s%s", s.at, command, rest, res.Out, res.Err)
			}
			name, _, _ := strings.Cut(rest, " ")
			c.vars[name], res.Values = res.Values[0], res.Values[1:]
		case "is":
			if res.Code != 0 {
				continue
			}
			query, want, _ := strings.Cut(rest, " = ")
			if got := res.Values[0]; got != want {
				t.Errorf("%s: aws %s: %s is %s, want %s", s.at, command, query, got, want)
			}
			res.Values = res.Values[1:]
		case "refused":
			code, text, _ := strings.Cut(rest, " ")
			if m != nil && (m[1] != code || !strings.Contains(m[2], text)) {
				t.Errorf("%s: aws %s: refused with %s: %s, want %s", s.at, command, m[1], m[2], rest)
			}
		case "says":
			if !strings.Contains(res.Out, rest) {
				t.Errorf("%s: aws %s: says %q, want %q", s.at, command, res.Out, rest)
			}
		}
	}
}

// inventory is everything that the account has in the region, as the command line lists it, but for instances that are no
// more, which EC2 shows for an hour, and their tags.
func (c *awsCLI) inventory() map[string]string {
	c.t.Helper()
	all := map[string]string{}
	for _, command := range []string{
		"describe-vpcs", "describe-subnets", "describe-internet-gateways", "describe-route-tables", "describe-security-groups",
		"describe-security-group-rules", "describe-network-interfaces", "describe-addresses", "describe-volumes", "describe-key-pairs",
		"describe-network-acls", "describe-dhcp-options", "describe-nat-gateways",
		"describe-tags --filters Name=resource-type,Values=vpc,subnet,internet-gateway,route-table,security-group,security-group-rule," +
			"network-acl,dhcp-options,key-pair,elastic-ip,network-interface,volume",
		"describe-instances --filters Name=instance-state-name,Values=pending,running,stopping,stopped,shutting-down",
	} {
		res := c.run("ec2 " + command)
		if res.Code != 0 {
			c.t.Fatalf("aws ec2 %s: %s", command, res.Err)
		}
		all[command] = res.Out
	}
	return all
}

// TestAWSCLI plays the long script: what somebody does with Amazon's command line in a day, mistakes included.
func TestAWSCLI(t *testing.T) {
	t.Parallel()
	c := newAWSCLI(t)
	c.vars["folder"] = t.TempDir()
	for name, text := range map[string]string{
		"user-data": "#cloud-config\n",
		"key.pub":   "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIZ8J2hEnupzlUoHioCXkad3Dw4fTgZvcMYFBw6lUVUV day\n",
	} {
		if err := os.WriteFile(filepath.Join(c.vars["folder"], name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.play(readAWSScript(t, "day.txt"))
	if c.calls < 120 {
		t.Errorf("the script has %d calls, want at least 120", c.calls)
	}
}

// TestAWSProgram holds that the command line in one process is the one that users start.
func TestAWSProgram(t *testing.T) {
	t.Parallel()
	aws := program(t, "aws", "pip install awscli")
	c := newAWSCLI(t)
	for _, line := range []string{"ec2 describe-vpcs --output table", "ec2 delete-vpc --vpc-id vpc-00000000"} {
		cmd := exec.CommandContext(t.Context(), aws, strings.Fields(line)...)
		cmd.Env = c.lab.environment(t)
		cmd.WaitDelay = time.Second
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		want := awsResult{Code: cmd.ProcessState.ExitCode(), Out: out.String(), Err: errs.String()}
		got := c.run(line)
		got.Values = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("aws %s: %v: the program and the process differ: %s", line, err, diff)
		}
	}
}

// TestAWSTeardown makes a VPC with everything in it, takes it down in the wrong order, each step refused, and then in the
// right one. Nothing is left.
func TestAWSTeardown(t *testing.T) {
	t.Parallel()
	c := newAWSCLI(t)
	before := c.inventory()
	c.play(readAWSScript(t, "vpc.txt"))
	if diff := cmp.Diff(before, c.inventory()); diff != "" {
		t.Errorf("what is there afterwards differs: %s", diff)
	}
}
