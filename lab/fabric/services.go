//go:build linux

package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// services are what a router offers its machines at link-local addresses: the metadata service and a resolver.
type services struct {
	web *http.Server
	dns []*dns.Server
}

// startServices listens in the router's namespace.
func startServices(ns *namespace, config Config, cloud, network string) (_ *services, err error) {
	s := &services{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if config.Metadata != nil {
		if err := s.serveMetadata(ns, config, cloud, network); err != nil {
			return nil, fmt.Errorf("metadata service: %w", err)
		}
	}
	for _, a := range servicesOf(cloud) {
		if err := s.serveDNS(ns, netip.AddrPortFrom(a, 53).String()); err != nil {
			return nil, fmt.Errorf("resolver: %w", err)
		}
	}
	return s, nil
}

// serveMetadata starts the metadata service. On AWS its packets live for one hop, the default hop limit of an
// instance's metadata options: they reach the machine, but no container behind it.
func (s *services) serveMetadata(ns *namespace, config Config, cloud, network string) error {
	handler := config.Metadata(cloud, network)
	if handler == nil {
		return nil
	}
	var options func(fd int) error
	if cloud == "aws" {
		options = func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 1) }
	}
	at := []netip.Addr{metadataAddress}
	switch {
	case cloud == "azure":
		at = append(at, wireServer)
	case knocks(cloud):
		at = nil // each interface has a door of its own
	}
	logger := config.Logger.With("network", network, "service", "metadata")
	s.web = &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	for _, a := range at {
		l, err := ns.listen("tcp4", netip.AddrPortFrom(a, 80).String(), options)
		if err != nil {
			return err
		}
		go func() {
			if err := s.web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				logger.Error("ended", "error", err)
			}
		}()
	}
	return nil
}

func (s *services) serveDNS(ns *namespace, at string) error {
	packets, err := ns.listenPacket("udp4", at)
	if err != nil {
		return err
	}
	l, err := ns.listen("tcp4", at, nil)
	if err != nil {
		packets.Close()
		return err
	}
	for _, server := range []*dns.Server{{PacketConn: packets}, {Listener: l}} {
		started := make(chan struct{})
		failed := make(chan error, 1)
		server.Handler, server.NotifyStartedFunc = dns.HandlerFunc(answer), func() { close(started) }
		go func() { failed <- server.ActivateAndServe() }()
		select {
		case <-started:
		case err := <-failed:
			return errors.Join(err, packets.Close(), l.Close())
		}
		s.dns = append(s.dns, server)
	}
	return nil
}

// answer knows the metadata service's names and says at once of every other name that it doesn't exist: nothing else
// on the lab's internet has a name, and a machine that waits for a resolver starts slowly.
func answer(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetRcode(query, dns.RcodeNameError)
	reply.Authoritative, reply.RecursionAvailable = true, true
	if len(query.Question) == 1 {
		question := query.Question[0]
		switch strings.ToLower(question.Name) {
		case "metadata.google.internal.", "metadata.":
			reply.Rcode = dns.RcodeSuccess
			if question.Qtype == dns.TypeA && question.Qclass == dns.ClassINET {
				header := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600}
				reply.Answer = []dns.RR{&dns.A{Hdr: header, A: metadataAddress.AsSlice()}}
			}
		}
	}
	_ = w.WriteMsg(reply) // who asks and goes gets no answer
}

func (s *services) close() error {
	var failed error
	if s.web != nil {
		failed = s.web.Close()
	}
	for _, server := range s.dns {
		failed = errors.Join(failed, server.Shutdown())
	}
	return failed
}

// listen opens a TCP listener inside the namespace; options may set more on the socket before it is bound.
func (n *namespace) listen(network, at string, options func(fd int) error) (l net.Listener, err error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		if options == nil {
			return nil
		}
		var failed error
		return errors.Join(raw.Control(func(fd uintptr) { failed = options(int(fd)) }), failed)
	}}
	config.SetMultipathTCP(false)
	err = n.do(func() (err error) {
		l, err = config.Listen(context.Background(), network, at)
		return err
	})
	return l, err
}

func (n *namespace) listenPacket(network, at string) (c net.PacketConn, err error) {
	err = n.do(func() (err error) {
		c, err = (&net.ListenConfig{}).ListenPacket(context.Background(), network, at)
		return err
	})
	return c, err
}
