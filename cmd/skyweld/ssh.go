package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/term"

	"github.com/skyweld/skyweld/remote"
)

func sshCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "ssh NODE [-- COMMAND...]", Short: "Open a shell on a node, or run a command there", Args: args("NODE", "[COMMAND...]"), ValidArgsFunction: s.completeArgs(nodeNames),
		Long: `Open a shell on a node, or run a command there. A key made for this one connection is let in for a few minutes; the node's host key is checked, and a proxy of the account is used. You need no key of your own.

The exit code is that of the command, or of the shell.`,
		Example: "  skyweld ssh demo-web-1\n  skyweld ssh demo-web-1 -- ip route\n  skyweld ssh demo-web-1 -- 'journalctl -u kubelet | tail'",
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			cluster, err := clusterOf(c.Context(), client, a[0])
			if err != nil {
				return err
			}
			private, public, err := remote.NewKey("skyweld-ssh")
			if err != nil {
				return err
			}
			signer, err := ssh.ParsePrivateKey([]byte(private))
			if err != nil {
				return err
			}
			grant, err := client.Grant(c.Context(), cluster, a[0], public)
			if err != nil {
				return err
			}
			address, err := netip.ParseAddrPort(grant.Address)
			if err != nil {
				return err
			}
			conn, err := remote.Dial(c.Context(), remote.Target{Name: a[0], Address: address, User: grant.User, Key: signer, HostKeys: grant.HostKeys, Proxy: grant.Proxy})
			if err != nil {
				return err
			}
			defer conn.Close()
			return session(c.Context(), conn, strings.Join(a[1:], " "))
		},
	}
}

// session runs a command, or a shell, with this process's own standard streams.
func session(ctx context.Context, conn *remote.Conn, command string) error {
	t := remote.Terminal{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Command: command}
	fd := int(os.Stdin.Fd())
	if term.IsTerminal(fd) && isTerminal(os.Stdout) {
		state, err := term.MakeRaw(fd)
		if err != nil {
			return err
		}
		defer func() { _ = term.Restore(fd, state) }()
		t.Type = os.Getenv("TERM")
		if t.Width, t.Height, err = term.GetSize(fd); err != nil {
			return err
		}
	}
	err := conn.Attach(ctx, t)
	if exit, ok := errors.AsType[*remote.ExitError](err); ok {
		return exitStatus(exit.Status)
	}
	return err
}
