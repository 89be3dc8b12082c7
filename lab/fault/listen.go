package fault

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// Listener makes a TCP listener refuse connections while its cloud is down; it takes the listener over. The port stays
// taken meanwhile: that only holds for a socket which asked for its port by number, so it is opened anew by that.
func (s *Set) Listener(cloud string, l net.Listener) (net.Listener, error) {
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", at, err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", at, err)
	}
	t, ok := l.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("listen on %s: it is no TCP", at)
	}
	out := &listener{TCPListener: t, set: s, cloud: cloud, closed: make(chan struct{}), turned: make(chan struct{}), open: map[*connection]bool{}}
	go out.watch()
	return out, nil
}

type listener struct {
	*net.TCPListener
	set    *Set
	cloud  string
	once   sync.Once
	closed chan struct{}

	mu   sync.Mutex
	deaf bool
	// turned is closed and replaced when the socket has stopped listening or listens again.
	turned chan struct{}
	open   map[*connection]bool
}

// connection is one that ends when its cloud goes down.
type connection struct {
	*net.TCPConn
	from *listener
}

// Close ends it, and the listener's care for it.
func (c *connection) Close() error {
	c.from.mu.Lock()
	delete(c.from.open, c)
	c.from.mu.Unlock()
	return c.TCPConn.Close()
}

// watch follows the rules.
func (l *listener) watch() {
	for {
		changed := l.set.Changed()
		if err := l.be(l.set.Down(l.cloud)); err != nil {
			return // it is closed
		}
		select {
		case <-changed:
		case <-l.closed:
			return
		}
	}
}

// be stops or starts listening. A socket that doesn't listen refuses, as a host without a server does; it keeps its
// port, and can listen again.
func (l *listener) be(deaf bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf == deaf {
		return nil
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var did error
	if err := raw.Control(func(fd uintptr) {
		if deaf {
			did = unix.Shutdown(int(fd), unix.SHUT_RDWR)
		} else {
			did = unix.Listen(int(fd), unix.SOMAXCONN)
		}
	}); err != nil {
		return err
	}
	if did != nil {
		return fmt.Errorf("listen on %s: %w", l.Addr(), did)
	}
	l.deaf = deaf
	close(l.turned)
	l.turned = make(chan struct{})
	if deaf {
		for c := range l.open {
			reset(c.TCPConn)
		}
		clear(l.open)
	}
	return nil
}

// Accept waits for a connection, through times of deafness.
func (l *listener) Accept() (net.Conn, error) {
	for {
		tcp, err := l.AcceptTCP()
		c := &connection{tcp, l}
		l.mu.Lock()
		deaf, turned := l.deaf, l.turned
		if err == nil && !deaf {
			l.open[c] = true
		}
		l.mu.Unlock()
		if err == nil && deaf {
			reset(tcp)
			continue
		}
		if err == nil {
			return c, nil
		}
		if errors.Is(err, net.ErrClosed) || !errors.Is(err, unix.EINVAL) {
			return nil, err
		}
		if !deaf {
			continue // it listens again already
		}
		select {
		case <-turned:
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

// Close ends the listener for good.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.TCPListener.Close()
}
