//go:build linux

// Package cloudinit does in a lab machine what cloud-init does in a stock image: it asks the metadata service who the
// machine is and applies its user data once. It is neither the parser of that (cloudconfig) nor a configuration manager.
package cloudinit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/machine/cloudconfig"
	"github.com/skyweld/skyweld/lab/machine/internal/accounts"
	"github.com/skyweld/skyweld/lab/machine/internal/rotate"
)

// Config says where to work.
type Config struct {
	// Datasource is "Ec2", "GCE", "Azure" or "DigitalOcean".
	Datasource string
	// Console takes what people read in the cloud's console output.
	Console io.Writer

	// For tests: the machine's root, the metadata service, and how the kernel learns the host name.
	root, address string
	setHostname   func(string) error
}

// run is one stage of one boot.
type run struct {
	Config
	metadata
	user    *cloudconfig.Config
	db      accounts.DB
	started time.Time
	errs    []string
}

func newRun(cfg Config) *run {
	if cfg.root == "" {
		cfg.root, cfg.address = "/", metadataAddress
		cfg.setHostname = func(name string) error { return unix.Sethostname([]byte(name)) }
	}
	return &run{
		Config: cfg, user: &cloudconfig.Config{}, started: time.Now(),
		db: accounts.DB(filepath.Join(cfg.root, "etc")),
	}
}

func (r *run) path(name string) string { return filepath.Join(r.root, name) }

func (r *run) logf(format string, args ...any) {
	fmt.Fprintf(r.Console, "cloud-init: "+format+"\n", args...)
}

// fail records what went wrong; the rest goes on, as cloud-init does it.
func (r *run) fail(err error) {
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		r.errs = append(r.errs, line)
		r.logf("error: %s", line)
	}
}

// Early does what comes before SSH: metadata, user data, boot commands, files, names, accounts and keys. What goes wrong is
// in its report, not in the error, which is only about the report itself.
func Early(ctx context.Context, cfg Config) error {
	r := newRun(cfg)
	md, err := fetch(ctx, cfg.Datasource, r.address)
	if err != nil {
		r.fail(fmt.Errorf("no data source: %w", err))
	} else {
		r.metadata = md
		r.enterInstance()
		r.parse()
	}
	r.always("bootcmd", func() error { return r.script("bootcmd", r.user.BootCmd) })
	r.once("write_files", func() error { return r.writeFiles(false) })
	r.always("hostname", r.hostname)
	r.always("manage_etc_hosts", r.etcHosts)
	r.once("users", r.accounts)
	r.once("ssh", r.hostKeys)
	r.always("host keys", r.needHostKey)
	r.printHostKeys()
	return r.report(false)
}

// Final does what comes last: deferred files, the user's commands or script, and the result for those who wait for it.
func Final(ctx context.Context, cfg Config) error {
	r := newRun(cfg)
	early, err := r.readStatus()
	if err != nil {
		r.fail(err)
	} else if r.Source = early.Datasource; r.Source != "" {
		id, err := os.ReadFile(r.path("var/lib/cloud/data/instance-id"))
		data, err2 := os.ReadFile(r.path("var/lib/cloud/instance/user-data.txt"))
		if err := errors.Join(err, err2); err != nil {
			r.fail(err)
		}
		r.InstanceID, r.UserData = strings.TrimSpace(string(id)), data
		if user, err := cloudconfig.Parse(data); err == nil { // Otherwise Early has reported it.
			r.user = user
		}
	}
	r.once("write_files_deferred", func() error { return r.writeFiles(true) })
	r.once("runcmd", func() error { return r.script("runcmd", r.user.RunCmd) })
	r.once("scripts_user", r.userScript)
	return r.report(true)
}

func (r *run) parse() {
	user, err := cloudconfig.Parse(r.UserData)
	if err != nil {
		r.fail(fmt.Errorf("nothing of the user data is applied, because:\n%w", err))
		return
	}
	r.user = user
}

// enterInstance makes the folder of this instance and remembers what was asked of it. A disk that comes up as another
// instance gets another folder, and everything is applied anew.
func (r *run) enterInstance() {
	if id := r.InstanceID; id == "" || strings.ContainsAny(id, "/\x00\n") || id[0] == '.' {
		r.fail(errors.New("the metadata service's instance id is none"))
		r.InstanceID = "unknown"
	}
	dir := r.path("var/lib/cloud/instances/" + r.InstanceID)
	link := r.path("var/lib/cloud/instance")
	err := os.MkdirAll(filepath.Join(dir, "sem"), 0o755)
	err = errors.Join(err, os.MkdirAll(r.path("var/lib/cloud/data"), 0o755))
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "user-data.txt"), r.UserData, 0o600))
	err = errors.Join(err, os.WriteFile(r.path("var/lib/cloud/data/instance-id"), []byte(r.InstanceID+"\n"), 0o644))
	os.Remove(link)
	if err = errors.Join(err, os.Symlink("instances/"+r.InstanceID, link)); err != nil {
		r.fail(err)
	}
}

func (r *run) always(name string, do func() error) {
	if err := do(); err != nil {
		r.fail(fmt.Errorf("%s: %w", name, err))
	}
}

// once does something a single time per instance, however that ends; so does cloud-init, since half of a step may not bear
// being done twice.
func (r *run) once(name string, do func() error) {
	if r.InstanceID == "" {
		return
	}
	sem := r.path("var/lib/cloud/instances/" + r.InstanceID + "/sem/config_" + name)
	f, err := os.OpenFile(sem, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = do()
	}
	if err != nil {
		r.fail(fmt.Errorf("%s: %w", name, err))
	}
}

// output is where scripts write: the console, and the file that people know.
func (r *run) output() (io.Writer, func()) {
	log, err := rotate.Open(r.path("var/log/cloud-init-output.log"), 4<<20)
	if err != nil {
		r.fail(err)
		return r.Console, func() {}
	}
	return io.MultiWriter(r.Console, log), func() { log.Close() }
}

// status is status.json's inner part in cloud-init's shape, as far as it goes here
// (https://cloudinit.readthedocs.io/en/latest/reference/cli.html#status).
type status struct {
	Datasource string       `json:"datasource"`
	Stage      *string      `json:"stage"`
	Init       *stageStatus `json:"init,omitempty"`
	Final      *stageStatus `json:"modules-final,omitempty"`
}

type stageStatus struct {
	Start    float64  `json:"start"`
	Finished float64  `json:"finished"`
	Errors   []string `json:"errors"`
}

func (r *run) readStatus() (status, error) {
	var out struct {
		V1 status `json:"v1"`
	}
	text, err := os.ReadFile(r.path("run/cloud-init/status.json"))
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return status{}, fmt.Errorf("read the status of the first stage: %w", err)
	}
	return out.V1, nil
}

// report writes status.json, and after the last stage result.json with the errors of all stages, and the file
// boot-finished.
func (r *run) report(final bool) error {
	stage := &stageStatus{Start: seconds(r.started), Finished: seconds(time.Now()), Errors: append([]string{}, r.errs...)}
	s := status{Datasource: r.Source, Init: stage}
	if final {
		s, _ = r.readStatus()
		s.Datasource, s.Final = r.Source, stage
	}
	if err := r.writeJSON("run/cloud-init/status.json", map[string]any{"v1": s}); err != nil || !final {
		return err
	}
	all := append([]string{}, r.errs...)
	if s.Init != nil {
		all = append(append([]string{}, s.Init.Errors...), r.errs...)
	}
	var source any
	if r.Source != "" {
		source = r.Source
	}
	outcome := "finished"
	if len(all) > 0 {
		outcome = fmt.Sprintf("failed with %d errors", len(all))
	}
	r.logf("%s, data source %v", outcome, source)
	if r.InstanceID != "" {
		path := r.path("var/lib/cloud/instance/boot-finished")
		if err := os.WriteFile(path, []byte(time.Now().UTC().Format(time.RFC1123Z)+"\n"), 0o644); err != nil {
			return err
		}
	}
	return r.writeJSON("run/cloud-init/result.json", map[string]any{"v1": map[string]any{"datasource": source, "errors": all}})
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// writeJSON writes in one step, for those who wait for the file to appear.
func (r *run) writeJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return err
	}
	path := r.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
