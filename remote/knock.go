package remote

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
)

// Knock finds out whether a machine lets us in as far as SSH's first words, and leaves without logging in: that costs both
// sides next to nothing. It proves nothing about who answers.
func Knock(ctx context.Context, address netip.AddrPort, proxyURL string) error {
	dial, err := Dialer(proxyURL)
	if err != nil {
		return err
	}
	conn, err := dial(ctx, "tcp", address.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	const words = "SSH-2.0-" // RFC 4253, 4.2
	said := make([]byte, len(words))
	if n, err := io.ReadFull(conn, said); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("the connection was taken, but sshd said nothing (%d bytes): %w", n, err)
	}
	if !strings.HasPrefix(string(said), words) {
		return fmt.Errorf("what answers is no sshd: it said %q", said)
	}
	return nil
}
