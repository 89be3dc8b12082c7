//go:build linux

package fabric

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// proxyAddress is where what comes from the computer that runs the lab comes from.
var proxyAddress = netip.MustParseAddr("198.18.0.2")

// home is the namespace of the lab's own services on its internet. It stands nowhere: it has no distance to any region.
type home struct {
	record *record
	net    *internet
	ns     *namespace
	port   *port

	mu        sync.Mutex
	addresses map[netip.Addr]bool
	// sockets are what must be closed with home: an open socket keeps a namespace alive.
	sockets map[io.Closer]bool
	closed  bool
}

func newHome(f *Fabric) (_ *home, err error) {
	ns, err := f.record.makeNamespace(f.namespacePath("home"))
	if err != nil {
		return nil, err
	}
	h := &home{record: f.record, net: f.net, ns: ns, addresses: map[netip.Addr]bool{proxyAddress: true}, sockets: map[io.Closer]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if err := ns.sysctl("?ipv6/conf/all/disable_ipv6=1", "?ipv6/conf/default/disable_ipv6=1"); err != nil {
		return nil, err
	}
	if h.port, err = f.connect(ns, HomeCloud, place{cloud: HomeCloud}, Internet, proxyAddress); err != nil {
		return nil, err
	}
	if err := f.net.announce(h.port, []netip.Addr{proxyAddress}); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *home) close() error {
	var failed error
	h.mu.Lock()
	h.closed = true
	for socket := range h.sockets {
		if err := socket.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			failed = errors.Join(failed, err)
		}
	}
	h.mu.Unlock()
	if h.port != nil {
		failed = h.net.detach(h.port)
		h.port = nil
	}
	return errors.Join(failed, h.record.removeNamespace(h.ns))
}

// keep has a socket closed with home, unless it is released before; it is closed at once when home is.
func (h *home) keep(socket io.Closer) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		socket.Close()
	}
	h.sockets[socket] = true
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.sockets, socket)
	}
}

// ListenHome listens on the lab's internet for the machines, at a TCP address of Home such as "198.18.0.3:80". The
// listener ends with the fabric at the latest.
func (f *Fabric) ListenHome(network, at string) (net.Listener, error) {
	target, err := netip.ParseAddrPort(at)
	if err != nil || !Home.Contains(target.Addr()) {
		return nil, fmt.Errorf("listen at home: %q is no address in %s with a port", at, Home)
	}
	if network != "tcp" && network != "tcp4" {
		return nil, fmt.Errorf("listen at home: network %q is not tcp", network)
	}
	if err := f.home.add(target.Addr()); err != nil {
		return nil, fmt.Errorf("listen at home on %s: %w", at, err)
	}
	l, err := f.home.ns.listen("tcp4", at, nil)
	if err != nil {
		return nil, fmt.Errorf("listen at home: %w", err)
	}
	return &homeListener{Listener: l, release: f.home.keep(l)}, nil
}

// homeListener is a listener that home forgets when it is closed.
type homeListener struct {
	net.Listener
	release func()
}

// Close ends the listener.
func (l *homeListener) Close() error {
	l.release()
	return l.Listener.Close()
}

// add gives home one more address.
func (h *home) add(a netip.Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("the fabric is closed")
	}
	if h.addresses[a] {
		return nil
	}
	if err := h.ns.addAddress(uplink, netip.PrefixFrom(a, 32)); err != nil {
		return err
	}
	h.addresses[a] = true
	all := make([]netip.Addr, 0, len(h.addresses))
	for a := range h.addresses {
		all = append(all, a)
	}
	return h.net.announce(h.port, all)
}

// DialHome connects from home to a TCP address on the lab's internet; the caller closes the connection before the
// fabric. Errors wrap the system's (unix.ECONNREFUSED and so
// on), or os.ErrDeadlineExceeded or the context's.
func (f *Fabric) DialHome(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	if !Internet.Contains(to.Addr()) {
		return nil, fmt.Errorf("connect to %s: not in %s: %w", to, Internet, errNotAllowed)
	}
	var file *os.File
	err := f.home.ns.do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil && err != unix.EINPROGRESS {
			unix.Close(fd)
			return os.NewSyscallError("connect", err)
		}
		file = os.NewFile(uintptr(fd), "tcp:"+to.String())
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to, err)
	}
	defer file.Close() // the connection has its own copy
	if err := connected(ctx, file); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to, err)
	}
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to, err)
	}
	return conn, nil
}

var errNotAllowed = errors.New("not allowed")

// connected waits for a socket that is connecting.
func connected(ctx context.Context, file *os.File) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := file.SetWriteDeadline(deadline); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var status error
	err = raw.Write(func(fd uintptr) bool {
		status = nil
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if err != nil {
			status = os.NewSyscallError("connect", err)
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return err == nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, status)
}
