//go:build linux

package sshd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/machine/internal/accounts"
)

// session is one session channel: at most one program runs in it (RFC 4254, 6).
type session struct {
	server  *server
	login   *ssh.ServerConn
	account accounts.Account
	groups  []uint32

	channel ssh.Channel
	env     []string
	pty     *pty
	term    string

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended bool
}

// ptyRequest and windowChange are the bodies of RFC 4254, 6.2 and 6.7.
type ptyRequest struct {
	Term                         string
	Columns, Rows, Width, Height uint32
	Modes                        string
}

type windowChange struct{ Columns, Rows, Width, Height uint32 }

func (s *session) serve(offer ssh.NewChannel) {
	channel, requests, err := offer.Accept()
	if err != nil {
		return
	}
	s.channel = channel
	for req := range requests {
		err := s.request(req)
		if req.WantReply {
			req.Reply(err == nil, nil)
		}
		if err != nil && errors.Is(err, errNoStart) {
			fmt.Fprintf(channel.Stderr(), "%v\r\n", err)
			s.finish(err)
		}
	}
	// The client is gone: so is a terminal's program, as from a hangup. Others may go on without one.
	if s.pty != nil {
		s.signal(syscall.SIGHUP)
		s.pty.close()
	}
}

var (
	errRefused = errors.New("refused")
	errNoStart = errors.New("cannot start it")
)

func (s *session) request(req *ssh.Request) error {
	switch req.Type {
	case "env":
		var v struct{ Name, Value string }
		if err := ssh.Unmarshal(req.Payload, &v); err != nil {
			return err
		}
		// Debian's AcceptEnv.
		if v.Name != "LANG" && !strings.HasPrefix(v.Name, "LC_") {
			return errRefused
		}
		s.env = append(s.env, v.Name+"="+v.Value)
		return nil
	case "pty-req":
		return s.openPTY(req.Payload)
	case "window-change":
		var w windowChange
		if err := ssh.Unmarshal(req.Payload, &w); err != nil || s.pty == nil {
			return errRefused
		}
		return s.pty.resize(w.Rows, w.Columns)
	case "signal":
		var v struct{ Name string }
		if err := ssh.Unmarshal(req.Payload, &v); err != nil {
			return err
		}
		sig, ok := signals[v.Name]
		if !ok {
			return errRefused
		}
		return s.signal(sig)
	case "shell":
		return s.run("", false)
	case "exec", "subsystem":
		var v struct{ Command string }
		if err := ssh.Unmarshal(req.Payload, &v); err != nil {
			return err
		}
		if req.Type == "subsystem" && v.Command != "sftp" {
			return errRefused
		}
		return s.run(v.Command, req.Type == "subsystem")
	}
	return errRefused
}

// openPTY makes the terminal that the session's program will run in.
func (s *session) openPTY(payload []byte) error {
	var r ptyRequest
	if err := ssh.Unmarshal(payload, &r); err != nil {
		return err
	}
	if _, no := s.login.Permissions.Extensions[extNoPTY]; no || s.pty != nil {
		return errRefused
	}
	p, err := newPTY(s.account.UID)
	if err != nil {
		return err
	}
	s.pty, s.term = p, r.Term
	return p.resize(r.Rows, r.Columns)
}

// run starts the session's program: a command, a login shell when that is empty, or the file transfer server.
func (s *session) run(command string, sftp bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return errRefused
	}
	cmd := s.program(command, sftp)
	cmd.Dir = s.account.Home
	if info, err := os.Stat(cmd.Dir); err != nil || !info.IsDir() {
		cmd.Dir = "/"
	}
	cmd.Env = s.environment(command)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(s.account.UID), Gid: uint32(s.account.GID), Groups: s.groups},
		}
	}
	cmd.SysProcAttr.Setsid = true
	start := s.startPiped
	if s.pty != nil && !sftp {
		start = s.startInPTY
	}
	if err := start(cmd); err != nil {
		return fmt.Errorf("%w: %w", errNoStart, err)
	}
	s.cmd = cmd
	return nil
}

func (s *session) program(command string, sftp bool) *exec.Cmd {
	shell := s.account.Shell
	if _, err := os.Stat(shell); shell == "" || err != nil {
		shell = "/bin/sh"
	}
	forced, isForced := s.login.Permissions.Extensions[extCommand]
	switch {
	case isForced:
		return &exec.Cmd{Path: shell, Args: []string{shell, "-c", forced}}
	case sftp:
		// Root's rights are given up by the program itself: as another account it couldn't be started from where it is.
		args := append([]string{}, s.server.SFTP...)
		for _, id := range append([]uint32{uint32(s.account.UID), uint32(s.account.GID)}, s.groups...) {
			args = append(args, fmt.Sprint(id))
		}
		return &exec.Cmd{Path: "/proc/self/exe", Args: args, SysProcAttr: &syscall.SysProcAttr{}}
	case command == "":
		// A leading hyphen makes it a login shell.
		return &exec.Cmd{Path: shell, Args: []string{"-" + shell[strings.LastIndexByte(shell, '/')+1:]}}
	}
	return &exec.Cmd{Path: shell, Args: []string{shell, "-c", command}}
}

func (s *session) environment(command string) []string {
	remoteHost, remotePort, _ := net.SplitHostPort(s.login.RemoteAddr().String())
	localHost, localPort, _ := net.SplitHostPort(s.login.LocalAddr().String())
	env := append(s.env,
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME="+s.account.Home, "USER="+s.account.Name, "LOGNAME="+s.account.Name, "SHELL="+s.account.Shell,
		fmt.Sprintf("SSH_CLIENT=%s %s %s", remoteHost, remotePort, localPort),
		fmt.Sprintf("SSH_CONNECTION=%s %s %s %s", remoteHost, remotePort, localHost, localPort),
	)
	if s.pty != nil {
		env = append(env, "TERM="+s.term, "SSH_TTY="+s.pty.name)
	}
	if _, forced := s.login.Permissions.Extensions[extCommand]; forced {
		env = append(env, "SSH_ORIGINAL_COMMAND="+command)
	}
	return env
}

// startPiped connects the program by pipes. The session ends when the program has ended and its output is closed, which is
// later if something in the background still holds it; so it is with OpenSSH.
func (s *session) startPiped(cmd *exec.Cmd) error {
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = s.channel, s.channel.Stderr()
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		io.Copy(input, s.channel)
		input.Close()
	}()
	go func() { s.finish(cmd.Wait()) }()
	return nil
}

func (s *session) startInPTY(cmd *exec.Cmd) error {
	terminal, err := s.pty.open()
	if err != nil {
		return err
	}
	defer terminal.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr.Setctty = true // Descriptor 0 of the new process.
	if err := cmd.Start(); err != nil {
		return err
	}
	shown := make(chan struct{})
	go io.Copy(s.pty.master, s.channel)
	go func() {
		defer close(shown)
		io.Copy(s.channel, s.pty.master) // Ends with EIO once nobody has the terminal open.
	}()
	go func() {
		err := cmd.Wait()
		select {
		case <-shown:
		case <-time.After(5 * time.Second):
		}
		s.pty.close()
		s.finish(err)
	}()
	return nil
}

// signal sends a signal to the program and what it started in the foreground.
func (s *session) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil || s.ended {
		return errRefused
	}
	return syscall.Kill(-s.cmd.Process.Pid, sig)
}

// finish tells the client how the program ended and closes the channel.
func (s *session) finish(err error) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled():
		status := exit.Sys().(syscall.WaitStatus)
		s.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Name     string
			Core     bool
			Message  string
			Language string
		}{signalName(status.Signal()), status.CoreDump(), "", ""}))
	case errors.As(err, &exit):
		s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(exit.ExitCode())}))
	default:
		s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{255}))
	}
	s.channel.Close()
}

// signals are the names of RFC 4254, 6.10.
var signals = map[string]syscall.Signal{
	"ABRT": unix.SIGABRT, "ALRM": unix.SIGALRM, "FPE": unix.SIGFPE, "HUP": unix.SIGHUP, "ILL": unix.SIGILL,
	"INT": unix.SIGINT, "KILL": unix.SIGKILL, "PIPE": unix.SIGPIPE, "QUIT": unix.SIGQUIT, "SEGV": unix.SIGSEGV,
	"TERM": unix.SIGTERM, "USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2,
}

func signalName(sig syscall.Signal) string {
	for name, s := range signals {
		if s == sig {
			return name
		}
	}
	return fmt.Sprintf("SIG%d@skyweld.dev", int(sig))
}
