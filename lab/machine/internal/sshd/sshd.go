//go:build linux

// Package sshd is a lab machine's SSH server: public keys only, with commands, shells, file transfer and forwarding of TCP
// connections. It is not OpenSSH: it has no configuration file, no passwords, no agent or X11 forwarding.
package sshd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/machine/internal/accounts"
)

// loginTime is how long a client may take to log in.
const loginTime = 30 * time.Second

// Config says where things are; the zero value of a path is the machine's usual one.
type Config struct {
	// Console takes what happens.
	Console io.Writer
	// SFTP are the name and first arguments of the running program as a file transfer server.
	SFTP []string
	// KeyDir has the host keys, Etc the accounts, PIDFile gets the server's process id.
	KeyDir, Etc, PIDFile string
}

type server struct {
	Config
	db   accounts.DB
	keys atomic.Pointer[[]ssh.Signer]
}

// Run serves port 22 on all addresses until ctx ends. The host keys are read at the start and again on SIGHUP, which
// connections survive, as with OpenSSH.
func Run(ctx context.Context, cfg Config) error {
	listener, err := net.Listen("tcp", ":22")
	if err != nil {
		return err
	}
	return serve(ctx, listener, cfg)
}

func serve(ctx context.Context, listener net.Listener, cfg Config) error {
	defer listener.Close()
	for path, usual := range map[*string]string{&cfg.KeyDir: "/etc/ssh", &cfg.Etc: "/etc", &cfg.PIDFile: "/run/sshd.pid"} {
		if *path == "" {
			*path = usual
		}
	}
	s := &server{Config: cfg, db: accounts.DB(cfg.Etc)}
	if err := s.loadKeys(); err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, unix.SIGHUP)
	defer signal.Stop(hangup)
	if err := os.WriteFile(cfg.PIDFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return err
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-ctx.Done():
				listener.Close()
				return
			case <-done:
				return
			case <-hangup:
				if err := s.loadKeys(); err != nil {
					s.logf("keeps its host keys: %v", err)
				}
			}
		}
	}()
	s.logf("listening on %s", listener.Addr())
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() {
				time.Sleep(50 * time.Millisecond)
				continue
			}
			return err
		}
		go s.connection(conn)
	}
}

func (s *server) logf(format string, args ...any) {
	fmt.Fprintf(s.Console, "sshd: "+format+"\n", args...)
}

// loadKeys reads all host keys; when one is broken, those in use stay.
func (s *server) loadKeys() error {
	var keys []ssh.Signer
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		path := filepath.Join(s.KeyDir, "ssh_host_"+kind+"_key")
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read host key: %w", err)
		}
		key, err := ssh.ParsePrivateKey(text)
		if err != nil {
			return fmt.Errorf("read host key %s: it is no private key without a passphrase", path)
		}
		keys = append(keys, key)
		s.logf("host key %s %s", key.PublicKey().Type(), ssh.FingerprintSHA256(key.PublicKey()))
	}
	if len(keys) == 0 {
		return fmt.Errorf("read host keys: none in %s", s.KeyDir)
	}
	s.keys.Store(&keys)
	return nil
}

// The extensions under which a login carries the limits of its key.
const (
	extCommand, extNoPTY, extNoForward = "command", "no-pty", "no-port-forwarding"
)

// authorize looks the key up in the account's authorized_keys, which is read at every login.
func (s *server) authorize(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	a, err := s.db.Lookup(conn.User())
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(a.Home, ".ssh", "authorized_keys"))
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		have, _, options, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil || !bytes.Equal(have.Marshal(), key.Marshal()) {
			continue
		}
		if p := permissions(options); p != nil {
			return p, nil
		}
	}
	return nil, errors.New("the key is not authorized")
}

func (s *server) connection(conn net.Conn) {
	defer conn.Close()
	cfg := &ssh.ServerConfig{PublicKeyCallback: s.authorize, ServerVersion: "SSH-2.0-Skyweld_Lab"}
	for _, key := range *s.keys.Load() {
		cfg.AddHostKey(key)
	}
	conn.SetDeadline(time.Now().Add(loginTime))
	login, channels, requests, err := ssh.NewServerConn(conn, cfg)
	if err != nil {
		return // Port scans and refused keys: the client hears it.
	}
	defer login.Close()
	conn.SetDeadline(time.Time{})
	a, err := s.db.Lookup(login.User())
	if err != nil {
		return
	}
	groups, err := s.db.Groups(a)
	if err != nil {
		return
	}
	s.logf("%s logged in from %s", a.Name, login.RemoteAddr())
	go ssh.DiscardRequests(requests)
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			go (&session{server: s, login: login, account: a, groups: groups}).serve(ch)
		case "direct-tcpip":
			go s.forward(login, ch)
		default:
			ch.Reject(ssh.UnknownChannelType, "no such channel")
		}
	}
}

// forward connects to where the client wants (RFC 4254, 7.2).
func (s *server) forward(login *ssh.ServerConn, offer ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(offer.ExtraData(), &to); err != nil || to.Port > 65535 {
		offer.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	if _, no := login.Permissions.Extensions[extNoForward]; no {
		offer.Reject(ssh.Prohibited, "the key forbids forwarding")
		return
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))), 30*time.Second)
	if err != nil {
		offer.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close()
	channel, requests, err := offer.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	go ssh.DiscardRequests(requests)
	up := make(chan struct{})
	go func() {
		defer close(up)
		io.Copy(conn, channel)
		conn.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(channel, conn)
	channel.CloseWrite()
	<-up
}
