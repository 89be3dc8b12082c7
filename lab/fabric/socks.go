//go:build linux

package fabric

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What SOCKS5 (RFC 1928) says on the wire.
const (
	socksVersion       = 5
	socksNoAuth        = 0x00
	socksNoneOfThese   = 0xff
	socksConnect       = 1
	socksIPv4          = 1
	socksDomain        = 3
	socksIPv6          = 4
	socksSucceeded     = 0
	socksFailed        = 1
	socksNotAllowed    = 2
	socksNetDown       = 3
	socksHostDown      = 4
	socksRefused       = 5
	socksBadCommand    = 7
	socksBadAddress    = 8
	socksGreetingLimit = 10 * time.Second
	socksDialLimit     = 15 * time.Second
)

// ServeSOCKS serves SOCKS5 without authentication to the computer that runs the lab: CONNECT, to IPv4 addresses on the
// lab's internet, dialled from home. Names are refused unless they are such an address in letters: nothing on
// that internet has a name. It returns when the listener is closed; its connections end
// with the fabric at the latest.
func (f *Fabric) ServeSOCKS(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("SOCKS5 proxy: %w", err)
		}
		go f.serveClient(conn)
	}
}

// serveClient serves one client of the proxy.
func (f *Fabric) serveClient(client net.Conn) {
	defer client.Close()
	defer f.home.keep(client)()
	if err := client.SetReadDeadline(time.Now().Add(socksGreetingLimit)); err != nil {
		return
	}
	in := bufio.NewReader(client)
	to, code, err := request(in, client)
	if err != nil {
		return
	}
	if code == socksSucceeded {
		if err := client.SetReadDeadline(time.Time{}); err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), socksDialLimit)
		defer cancel()
		server, err := f.DialHome(ctx, to)
		if err == nil {
			defer server.Close()
			defer f.home.keep(server)()
			local, _ := netip.ParseAddrPort(server.LocalAddr().String())
			if _, err := client.Write(socksReply(socksSucceeded, local)); err == nil {
				splice(client, in, server)
			}
			return
		}
		code = socksCode(err)
	}
	_, _ = client.Write(socksReply(code, netip.AddrPortFrom(netip.IPv4Unspecified(), 0)))
}

// request reads a client's greeting and request, and answers the greeting. A code other than socksSucceeded is what
// to refuse the request with; an error means that there is nobody to answer.
func request(in *bufio.Reader, out io.Writer) (to netip.AddrPort, code byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:2]); err != nil {
		return to, 0, err
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(in, methods); err != nil {
		return to, 0, err
	}
	if head[0] != socksVersion {
		return to, 0, fmt.Errorf("SOCKS version %d", head[0])
	}
	method := byte(socksNoneOfThese)
	if strings.IndexByte(string(methods), socksNoAuth) >= 0 {
		method = socksNoAuth
	}
	if _, err := out.Write([]byte{socksVersion, method}); err != nil {
		return to, 0, err
	}
	if method != socksNoAuth {
		return to, 0, errors.New("the client wants to authenticate")
	}
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return to, 0, err
	}
	if head[0] != socksVersion {
		return to, 0, fmt.Errorf("SOCKS version %d", head[0])
	}
	host, code, err := requestHost(in, head[3])
	if err != nil {
		return to, 0, err
	}
	var port [2]byte
	if _, err := io.ReadFull(in, port[:]); err != nil {
		return to, 0, err
	}
	if head[1] != socksConnect {
		code = socksBadCommand
	}
	return netip.AddrPortFrom(host, binary.BigEndian.Uint16(port[:])), code, nil
}

// requestHost reads the address of a request.
func requestHost(in *bufio.Reader, kind byte) (host netip.Addr, code byte, err error) {
	size := 0
	switch kind {
	case socksIPv4:
		size = 4
	case socksIPv6:
		size = 16
	case socksDomain:
		n, err := in.ReadByte()
		if err != nil {
			return host, 0, err
		}
		size = int(n)
	default:
		return host, socksBadAddress, nil
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(in, raw); err != nil {
		return host, 0, err
	}
	if kind == socksDomain {
		if host, err = netip.ParseAddr(string(raw)); err != nil {
			return netip.Addr{}, socksHostDown, nil
		}
	} else {
		host, _ = netip.AddrFromSlice(raw)
	}
	if host = host.Unmap(); !host.Is4() {
		return host, socksBadAddress, nil
	}
	return host, socksSucceeded, nil
}

// socksCode says why a connection didn't come about.
func socksCode(err error) byte {
	switch {
	case errors.Is(err, errNotAllowed):
		return socksNotAllowed
	case errors.Is(err, unix.ECONNREFUSED):
		return socksRefused
	case errors.Is(err, unix.ENETUNREACH):
		return socksNetDown
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ETIMEDOUT), errors.Is(err, context.DeadlineExceeded):
		return socksHostDown
	}
	return socksFailed
}

func socksReply(code byte, bound netip.AddrPort) []byte {
	a := bound.Addr().As4()
	return binary.BigEndian.AppendUint16([]byte{socksVersion, code, 0, socksIPv4, a[0], a[1], a[2], a[3]}, bound.Port())
}

// splice copies both ways until both are done; the end of one direction is passed on.
func splice(client net.Conn, buffered *bufio.Reader, server net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.Copy(client, server)
		finish(client, server, err)
	}()
	var err error
	if n := buffered.Buffered(); n > 0 {
		_, err = io.CopyN(server, buffered, int64(n))
	}
	if err == nil {
		_, err = io.Copy(server, client)
	}
	finish(server, client, err)
	<-done
}

// finish passes on that nothing more comes; after an error neither side is of use.
func finish(to, from net.Conn, err error) {
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		to.Close()
		from.Close()
	}
}
