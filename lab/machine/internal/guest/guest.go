//go:build linux

// Package guest is what runs inside a lab machine: its first process, which starts everything, reaps what dies and
// supervises services. It is no general init: it runs in a container-like world whose file systems are mounted already.
package guest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/machine/internal/cloudinit"
	"github.com/skyweld/skyweld/lab/machine/internal/sshd"
)

// Path is the search path of everything that init starts.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// stopGrace is how long services may take to end at a shutdown.
const stopGrace = 2 * time.Second

// The stages that init starts the running program as, and the name it then has.
const (
	program      = "skyweld-lab-machine"
	stageCloud   = "cloudinit"
	stageFinal   = "cloudinit-final"
	stageSSH     = "sshd"
	datasourceIn = "SKYWELD_LAB_DATASOURCE"
)

// Config is what init needs to know.
type Config struct {
	// Datasource is the metadata service's dialect: "Ec2", "GCE" or "DigitalOcean".
	Datasource string
	// Hang and Taken are faults: nothing is started, and ports where connections are taken and never answered.
	Hang  bool
	Taken []int
	// Ready is called once init has taken over.
	Ready func()
}

// Main runs a stage inside a machine and then never returns; false when args name none.
func Main(args []string) bool {
	var err error
	switch args[0] {
	case stageCloud:
		err = cloudinit.Early(context.Background(), cloudinit.Config{Datasource: os.Getenv(datasourceIn), Console: os.Stdout})
	case stageFinal:
		err = cloudinit.Final(context.Background(), cloudinit.Config{Datasource: os.Getenv(datasourceIn), Console: os.Stdout})
	case stageSSH:
		setName("sshd")
		err = sshd.Run(context.Background(), sshd.Config{Console: os.Stdout, SFTP: []string{program, sshd.StageSFTP}})
	case sshd.StageSFTP:
		err = sshd.ServeSFTP(args[1:])
	default:
		return false
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

// Init is pid 1: it returns when the machine is to end.
func Init(cfg Config) error {
	// Caught, not ignored: what is ignored here would be ignored in every program of the machine. The others are caught for
	// that too, since the lab may have been started with some of them ignored.
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGTERM, unix.SIGCHLD)
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	setName("init")
	os.Clearenv()
	for k, v := range map[string]string{"PATH": Path, "HOME": "/root", "LANG": "C.UTF-8"} {
		os.Setenv(k, v)
	}
	raiseFileLimit()
	if err := loopbackUp(); err != nil {
		fmt.Fprintf(os.Stdout, "init: %v\n", err)
	}
	r := newReaper()
	services := newSupervisor("/etc/service", "/var/log", r, os.Stdout)
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() { services.run(stop) })
	held := takePorts(cfg.Taken, os.Stdout)
	if cfg.Hang {
		fmt.Fprintln(os.Stdout, "init: waiting for the root disk to come up")
	} else {
		go boot(cfg.Datasource, r, os.Stdout)
	}
	cfg.Ready()
	for s := range signals {
		if s == unix.SIGCHLD {
			r.reap()
			continue
		}
		fmt.Fprintln(os.Stdout, "init: shutting down")
		break
	}
	runtime.KeepAlive(held)
	close(stop)
	ended := make(chan struct{})
	go func() { wait.Wait(); close(ended) }()
	deadline := time.After(stopGrace)
	for {
		select {
		case <-ended:
			return nil
		case <-deadline:
			return nil
		case <-signals:
			r.reap()
		}
	}
}

// takePorts listens on ports and accepts nothing there: the kernel takes connections, and nobody answers. Whoever wants a
// port later finds it in use.
func takePorts(ports []int, console io.Writer) []net.Listener {
	var held []net.Listener
	for _, port := range ports {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			fmt.Fprintf(console, "init: %v\n", err)
			continue
		}
		held = append(held, l)
	}
	return held
}

// boot does what cloud-init and the units around it do on a stock image, in their order: metadata and keys, then SSH, then
// the user's commands.
func boot(datasource string, r *reaper, console io.Writer) {
	env := append(os.Environ(), datasourceIn+"="+datasource)
	run := func(stage string) {
		done, _, err := r.start(child{path: "/proc/self/exe", args: []string{program, stage}, env: env, out: os.Stdout})
		if err != nil {
			fmt.Fprintf(console, "init: start %s: %v\n", stage, err)
			return
		}
		if status := <-done; !status.Exited() || status.ExitStatus() != 0 {
			fmt.Fprintf(console, "init: %s ended: %s\n", stage, describe(status))
		}
	}
	run(stageCloud)
	go func() {
		for {
			run(stageSSH)
			time.Sleep(time.Second)
		}
	}()
	run(stageFinal)
}

func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "signal " + s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// setName is what ps shows.
func setName(name string) { os.WriteFile("/proc/self/comm", []byte(name), 0) }

// raiseFileLimit gives everything in the machine many open files, as systemd does for container runtimes.
func raiseFileLimit() {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		l.Max = min(l.Max, 1<<20)
		l.Cur = l.Max
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	}
}

// loopbackUp brings up lo, which is down in a new network namespace.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	return nil
}
