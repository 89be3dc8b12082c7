//go:build linux

package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/skyweld/skyweld/lab/machine/internal/guest"
	"github.com/skyweld/skyweld/lab/world"
)

// Machines are made by the running program itself, started again under another name. That name and the variable below
// together say that a process is one of these stages.
const (
	stageName = "skyweld-lab-machine"
	stageEnv  = "SKYWELD_LAB_MACHINE"

	stageKeeper = "keeper" // outside: holds the machine and its console
	stageInit   = "init"   // pid 1 inside
)

// stageConfig is what the stages outside of the machine's own root need to know; it travels in stageEnv.
type stageConfig struct {
	Machine world.Machine
	// Dir is the machine's folder on the host, Netns its network namespace, Group its control group.
	Dir, Netns, Group string
	Broken            Broken
}

// command prepares a stage as a process of its own session, so that no terminal reaches it.
func command(stage string, cfg stageConfig) (*exec.Cmd, error) {
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("start stage %s: %w", stage, err)
	}
	return &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{stageName, stage},
		Env: []string{stageEnv + "=" + string(text)}, Dir: "/",
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}, nil
}

// Main turns the process into a stage of a machine if it was started as one, and then never returns. Every program that
// runs machines calls it first thing in main, and its tests in TestMain.
func Main() {
	if len(os.Args) < 2 || filepath.Base(os.Args[0]) != stageName {
		return
	}
	if guest.Main(os.Args[1:]) {
		return
	}
	var cfg stageConfig
	if err := json.Unmarshal([]byte(os.Getenv(stageEnv)), &cfg); err != nil {
		fmt.Fprintln(os.Stderr, stageName+": not started by a lab:", err)
		os.Exit(2)
	}
	// Namespaces belong to threads: what the stages change must stay on one, from which they start the next stage.
	runtime.LockOSThread()
	err := errors.New("no such stage")
	switch os.Args[1] {
	case stageKeeper:
		err = keep(cfg)
	case stageInit:
		err = initMachine(cfg)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s %s: %v\n", stageName, os.Args[1], err)
		os.Exit(1)
	}
	os.Exit(0)
}

// report sends a step of the boot to the lab. Nobody listens any more once the machine is ready.
func report(to *os.File, step progress) error {
	text, err := json.Marshal(step)
	if err != nil {
		return err
	}
	_, err = to.Write(append(text, '\n'))
	return err
}
