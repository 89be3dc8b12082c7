package strangers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/lab/world"
)

// awsScript runs a script at a lab where things take their time, and returns the lines of JSON that it prints.
func awsScript(t *testing.T, name string, args ...string) []map[string]any {
	t.Helper()
	lab := newAWSLab(t, world.Fast)
	ctx, cancel := context.WithTimeout(t.Context(), awsScriptTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = lab.environment(t)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%s printed %q: %v", name, line, err)
		}
		lines = append(lines, v)
	}
	return lines
}

// TestAWSWaiters runs all of boto3's waiters that are about what the lab has.
func TestAWSWaiters(t *testing.T) {
	t.Parallel()
	python := program(t, "python3", "https://www.python.org")
	if err := exec.CommandContext(t.Context(), python, "-c", "import boto3").Run(); err != nil {
		t.Skip("needs boto3: pip install boto3")
	}
	var names, others []string
	looks := 0
	for _, line := range awsScript(t, python, scriptFile(t, "waiters.py")) {
		if text, _ := line["outcome"].(string); strings.HasPrefix(text, "not here") {
			others = append(others, fmt.Sprint(line["waiter"]))
			continue
		}
		names = append(names, line["waiter"].(string))
		n, _ := line["looks"].(float64)
		looks += int(n)
	}
	waits := len(names)
	slices.Sort(names)
	t.Logf("%d waits of %d waiters, %d looks; not here: %s", waits, len(slices.Compact(names)), looks, strings.Join(others, ", "))
}

// TestAWSJavaScript runs the paginators and waiters of @aws-sdk/client-ec2.
func TestAWSJavaScript(t *testing.T) {
	t.Parallel()
	counts := map[string]int{}
	for _, line := range awsScript(t, "node", scriptFile(t, "client.mjs"), nodeModules(t)) {
		kind, _ := line["kind"].(string)
		if line["outcome"] == "not here" {
			kind = "refused"
		}
		counts[kind]++
	}
	t.Logf("%d paginators answered, %d refused as unsupported, %d lists the same in pages as at once, %d waits",
		counts["paginator"], counts["refused"], counts["list"], counts["waiter"])
}
