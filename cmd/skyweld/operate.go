package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"
)

// grace is how long the steps that are going on may take to come to their end when the engine stops. Whoever stops it must wait
// a little longer before killing it; deploy/skyweld.service does.
const grace = 30 * time.Second

// notify tells systemd how far the program is, where it was started by a unit of the type notify: READY=1, STOPPING=1.
func notify(state string) error {
	to := os.Getenv("NOTIFY_SOCKET")
	if to == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: to, Net: "unixgram"}) // a name that begins with @ is an abstract one
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	_, err = c.Write([]byte(state))
	return errors.Join(err, c.Close())
}

// tell is notify where nothing depends on it.
func tell(log *slog.Logger, state string) {
	if err := notify(state); err != nil {
		log.Warn("systemd could not be told", "state", state, "err", err)
	}
}

// serveMetrics serves what whoever operates the engine wants to know on an address of its own, to everybody who reaches that.
func serveMetrics(listen string, h http.Handler, log *slog.Logger) (stop func(), err error) {
	if listen == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("--metrics-listen: %s can't be listened on: %w", listen, err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are served no longer", "err", err)
		}
	}()
	log.Info("metrics are served", "address", "http://"+l.Addr().String()+"/metrics")
	return func() { _ = server.Close() }, nil
}
