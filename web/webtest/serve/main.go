// Command serve serves the console over clouds in memory, for looking at it while working on it: no account, no lab, no
// root. Sign in as viewer, operator or admin, each with the password "correct horse battery staple".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/web/webtest"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8499", "address and port to serve on")
	none := flag.Bool("empty", false, "no accounts and no clusters")
	slow := flag.Duration("call", 20*time.Millisecond, "how long a call to a cloud takes")
	boot := flag.Duration("boot", 200*time.Millisecond, "how long a machine takes to start")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serve(ctx, *listen, *none, *slow, *boot); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, listen string, none bool, slow, boot time.Duration) error {
	dir, err := os.MkdirTemp("", "skyweld-web-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := webtest.New(ctx, webtest.Options{Dir: dir, Call: slow, Boot: boot, Log: log})
	if err != nil {
		return err
	}
	server := &http.Server{Addr: listen, Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 2)
	go func() { served <- server.ListenAndServe() }()
	go func() { served <- s.Engine.Run(ctx) }()
	if err := s.AddUsers(ctx); err != nil {
		return err
	}
	if !none {
		if err := s.AddAccounts(ctx); err != nil {
			return err
		}
		fmt.Println("http://" + listen + " is up; its clusters are being made")
		if err := s.Fill(ctx, ctx.Done()); err != nil {
			return err
		}
	}
	for _, role := range auth.Roles { // for programs that take pictures
		cookie, _, err := s.SignIn(ctx, role)
		if err != nil {
			return err
		}
		fmt.Println("session", role, cookie.Name, cookie.Value)
	}
	fmt.Println("http://" + listen + " is ready")
	select {
	case <-ctx.Done():
		_ = server.Close()
		return nil
	case err := <-served:
		return err
	}
}
