package strangers_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gcloud is Google's own command line, in one process for many commands.
type gcloud struct {
	t       *testing.T
	lab     *gcpLab
	in      io.WriteCloser
	answers *bufio.Reader
	// ran counts the command lines.
	ran int
}

// newGcloud starts gcloud for a lab, with the key of the lab's service account; or skips the test where there is none.
func newGcloud(t *testing.T, l *gcpLab) *gcloud {
	t.Helper()
	const how = "install the Google Cloud CLI (https://cloud.google.com/sdk/docs/install)"
	found, err := filepath.EvalSymlinks(program(t, "gcloud", how))
	if err != nil {
		t.Fatal(err)
	}
	sdk := filepath.Dir(filepath.Dir(found))
	lib := filepath.Join(sdk, "lib")
	if _, err := os.Stat(filepath.Join(lib, "gcloud.py")); err != nil {
		t.Skipf("needs gcloud's own library beside %s: %s", found, how)
	}
	python := filepath.Join(sdk, "platform", "bundledpythonunix", "bin", "python3")
	if _, err := os.Stat(python); err != nil {
		python = program(t, "python3", "the Python that gcloud asks for")
	}
	cmd := exec.Command(python, "-S", filepath.Join("gcp", "gcloud.py"), lib)
	cmd.Env = append(os.Environ(),
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE="+l.url+"/compute/v1/", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE="+l.key, "CLOUDSDK_AUTH_TOKEN_HOST="+l.url+"/token", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE="+l.ca, "REQUESTS_CA_BUNDLE="+l.ca,
		"CLOUDSDK_CONFIG="+t.TempDir(), "CLOUDSDK_CORE_PROJECT="+gcpProject, "CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true",
		"CLOUDSDK_CORE_DISABLE_FILE_LOGGING=true", "CLOUDSDK_CORE_LOG_HTTP=false", "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=true", "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start gcloud: %v", err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("gcloud: %v", err)
		}
		t.Logf("gcloud took %.1f s of CPU", (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	})
	return &gcloud{t: t, lab: l, in: in, answers: bufio.NewReader(out)}
}

// answer is what a command line of gcloud ended with.
type answer struct {
	Code     int
	Out, Err string
}

// run runs "gcloud compute" with a line's words; those in single quotes may hold blanks.
func (g *gcloud) run(line string) answer {
	g.t.Helper()
	request, err := json.Marshal(append([]string{"compute"}, words(line)...))
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := g.in.Write(append(request, '\n')); err != nil {
		g.t.Fatalf("gcloud is gone: %v", err)
	}
	text, err := g.answers.ReadBytes('\n')
	if err != nil {
		g.t.Fatalf("gcloud compute %s: no answer: %v", line, err)
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		g.t.Fatalf("gcloud compute %s: answer %q: %v", line, text, err)
	}
	g.ran++
	return a
}

// words cuts a line at blanks that aren't between single quotes.
func words(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 0 {
			out = append(out, strings.Fields(part)...)
			continue
		}
		if n := len(out) - 1; n >= 0 && strings.HasSuffix(out[n], "=") {
			out[n] += part
		} else {
			out = append(out, part)
		}
	}
	return out
}

// step is a command line with what it must end with.
type step struct {
	line string
	// want is the whole output, without the blanks around it; "*" for any.
	want string
	// refused is the status and reason of the answer that must make the line fail ("404 notFound"), "-" where gcloud fails
	// by itself; message is part of what it then says.
	refused, message string
}

// steps runs a part of a script.
func (g *gcloud) steps(part string, list []step) {
	g.t.Helper()
	for _, s := range list {
		a := g.run(s.line)
		got := "-"
		for _, r := range g.lab.refusals() {
			got = r.String()
		}
		switch {
		case s.refused == "" && a.Code != 0:
			g.t.Errorf("%s: gcloud compute %s: exit code %d:\n%s", part, s.line, a.Code, a.Err)
		case s.refused == "" && s.want != "*" && strings.TrimSpace(a.Out) != s.want:
			g.t.Errorf("%s: gcloud compute %s: output\n%s\nwant\n%s\nerrors: %s", part, s.line, a.Out, s.want, a.Err)
		case s.refused != "" && a.Code == 0:
			g.t.Errorf("%s: gcloud compute %s: it worked, want it refused with %s; output:\n%s", part, s.line, s.refused, a.Out)
		case s.refused != "" && (got != s.refused || !strings.Contains(a.Err, s.message)):
			g.t.Errorf("%s: gcloud compute %s: refused with %s, want %s and %q in\n%s", part, s.line, got, s.refused, s.message, a.Err)
		}
	}
}
