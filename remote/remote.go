// Package remote is one SSH connection to a machine whose host key is known beforehand, through a proxy where one is set.
// It runs commands and uploads files; it never trusts a host key on first use and knows nothing of what it runs.
package remote

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Target says how to reach a machine.
type Target struct {
	// Name of the machine, for errors.
	Name    string
	Address netip.AddrPort
	User    string
	Key     ssh.Signer
	// HostKeys are the accepted host keys in authorized_keys form; there must be at least one.
	HostKeys []string
	// Proxy is a socks5:// or http:// URL, empty for none.
	Proxy string
}

// ErrHostKey is in the chain of Dial's error when the machine shows a host key that isn't among the accepted ones.
var ErrHostKey = errors.New("the machine's host key is not the expected one")

// Conn is an open connection. It is safe for concurrent use.
type Conn struct {
	name   string
	client *ssh.Client
}

// Dial connects and logs in. It gives up when ctx is done.
func Dial(ctx context.Context, t Target) (*Conn, error) {
	accepted := map[string]bool{}
	var algorithms []string
	for _, line := range t.HostKeys {
		k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("ssh to %s: expected host key: %w", t.Name, err)
		}
		accepted[string(k.Marshal())] = true
		algorithms = append(algorithms, k.Type())
	}
	if len(accepted) == 0 {
		return nil, fmt.Errorf("ssh to %s: no host key is known for it", t.Name)
	}
	dial, err := Dialer(t.Proxy)
	if err != nil {
		return nil, fmt.Errorf("ssh to %s: %w", t.Name, err)
	}
	raw, err := dial(ctx, "tcp", t.Address.String())
	if err != nil {
		return nil, fmt.Errorf("ssh to %s: %w", t.Name, err)
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	cfg := &ssh.ClientConfig{
		User: t.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(t.Key)},
		HostKeyAlgorithms: algorithms,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if !accepted[string(key.Marshal())] {
				return fmt.Errorf("%w: got %s", ErrHostKey, ssh.FingerprintSHA256(key))
			}
			return nil
		},
	}
	c, chans, reqs, err := ssh.NewClientConn(raw, t.Address.String(), cfg)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("ssh to %s (%s): %w", t.Name, t.Address, errors.Join(err, ctx.Err()))
	}
	return &Conn{name: t.Name, client: ssh.NewClient(c, chans, reqs)}, nil
}

// DialWait dials until it works or ctx is done, because a machine takes its time to boot. It stops at once on a wrong
// host key. The error is that of the last try.
func DialWait(ctx context.Context, t Target) (*Conn, error) {
	wait := 200 * time.Millisecond
	var last error
	for {
		try, cancel := context.WithTimeout(ctx, 15*time.Second)
		c, err := Dial(try, t)
		cancel()
		if err == nil {
			return c, nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if errors.Is(err, ErrHostKey) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, last
		case <-time.After(wait):
		}
		wait = min(wait*3/2, 3*time.Second)
	}
}

// Close ends the connection.
func (c *Conn) Close() error { return c.client.Close() }

// ExitError is a command that ran and failed.
type ExitError struct {
	// Command is its first words, without arguments that could be secret.
	Command string
	Status  int
	// Output is the last part of what it wrote to standard error.
	Output string
}

func (e *ExitError) Error() string {
	out := strings.TrimSpace(e.Output)
	if out == "" {
		return fmt.Sprintf("%s: exit status %d", e.Command, e.Status)
	}
	return fmt.Sprintf("%s: exit status %d: %s", e.Command, e.Status, out)
}

// Run runs a command with the given standard input and returns its standard output. What it writes to standard error
// goes to log as well, where log isn't nil.
func (c *Conn) Run(ctx context.Context, command string, stdin io.Reader, log io.Writer) ([]byte, error) {
	s, err := c.client.NewSession()
	if err != nil {
		return nil, fmt.Errorf("%s: open a session: %w", c.name, err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.Signal(ssh.SIGTERM); s.Close() })
	defer stop()
	var out bytes.Buffer
	errs := &tail{limit: 4096}
	s.Stdin, s.Stdout, s.Stderr = stdin, &out, errs
	if log != nil {
		s.Stderr = io.MultiWriter(errs, log)
	}
	err = s.Run(command)
	if ctx.Err() != nil {
		return out.Bytes(), fmt.Errorf("%s: %s: %w", c.name, verb(command), ctx.Err())
	}
	if exit, ok := errors.AsType[*ssh.ExitError](err); ok {
		return out.Bytes(), fmt.Errorf("%s: %w", c.name, &ExitError{Command: verb(command), Status: exit.ExitStatus(), Output: errs.String()})
	}
	if err != nil {
		return out.Bytes(), fmt.Errorf("%s: %s: %w", c.name, verb(command), err)
	}
	return out.Bytes(), nil
}

// Upload writes a file so that it is there whole or not at all.
func (c *Conn) Upload(ctx context.Context, content io.Reader, to string, mode os.FileMode) error {
	f, err := sftp.NewClient(c.client, sftp.UseConcurrentWrites(true), sftp.MaxConcurrentRequestsPerFile(64))
	if err != nil {
		return fmt.Errorf("%s: upload %s: %w", c.name, to, err)
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	if err := upload(f, content, to, mode); err != nil {
		return fmt.Errorf("%s: upload %s: %w", c.name, to, errors.Join(err, ctx.Err()))
	}
	return nil
}

func upload(f *sftp.Client, content io.Reader, to string, mode os.FileMode) error {
	if err := f.MkdirAll(path.Dir(to)); err != nil {
		return err
	}
	tmp := to + ".part"
	w, err := f.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if err := w.Chmod(mode); err != nil {
		w.Close()
		return err
	}
	_, err = w.ReadFrom(content)
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return f.PosixRename(tmp, to)
}

// NewKey makes an Ed25519 key: the private one as OpenSSH PEM, the public one as a line for authorized_keys.
func NewKey(comment string) (private, public string, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("make an ssh key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return "", "", fmt.Errorf("make an ssh key: %w", err)
	}
	sp, err := ssh.NewPublicKey(pub)
	if err != nil {
		return "", "", fmt.Errorf("make an ssh key: %w", err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sp)))
	return string(pem.EncodeToMemory(block)), line + " " + comment, nil
}

func verb(command string) string {
	f := strings.Fields(command)
	return strings.Join(f[:min(3, len(f))], " ")
}

// tail keeps the last bytes written to it.
type tail struct {
	limit int
	buf   []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.buf) }

// DialContext opens a connection from the machine, as ssh -L does.
func (c *Conn) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.client.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%s: connect to %s from there: %w", c.name, address, err)
	}
	return conn, nil
}

// Terminal is what a session is attached to.
type Terminal struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Command to run, empty for a login shell.
	Command string
	// Type is the terminal's ($TERM) and asks for a pseudo terminal; empty for none. Width and Height are in characters.
	Type          string
	Width, Height int
}

// Attach runs a command or a shell with the given streams until it ends.
func (c *Conn) Attach(ctx context.Context, t Terminal) error {
	s, err := c.client.NewSession()
	if err != nil {
		return fmt.Errorf("%s: open a session: %w", c.name, err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	s.Stdin, s.Stdout, s.Stderr = t.Stdin, t.Stdout, t.Stderr
	if t.Type != "" {
		if err := s.RequestPty(t.Type, t.Height, t.Width, ssh.TerminalModes{}); err != nil {
			return fmt.Errorf("%s: ask for a terminal: %w", c.name, err)
		}
	}
	if t.Command == "" {
		if err = s.Shell(); err == nil {
			err = s.Wait()
		}
	} else {
		err = s.Run(t.Command)
	}
	if exit, ok := errors.AsType[*ssh.ExitError](err); ok {
		return &ExitError{Command: verb(t.Command), Status: exit.ExitStatus()}
	}
	return err
}
