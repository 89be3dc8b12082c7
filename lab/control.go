package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/skyweld/skyweld/lab/fabric"
)

// controlFile is a lab's own socket: it answers what only its process knows.
const controlFile = "control.sock"

// Traffic is how much of one kind has crossed the lab's internet in one direction since the lab's start.
type Traffic struct {
	// From and To are "cloud/region", or "home" for the lab's own servers.
	From string `json:"from"`
	To   string `json:"to"`
	// Protocol is "tcp", "udp", "icmp" or a number; Port the lower of the two ports.
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"`
	Packets  uint64 `json:"packets"`
	Bytes    uint64 `json:"bytes"`
}

// control serves the lab's own socket.
func (l *Lab) control() error {
	path := filepath.Join(l.opts.Dir, controlFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the lab's socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("the lab's socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /traffic", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, l.traffic())
	})
	l.faultRoutes(mux)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	l.serve(func() error { return server.Serve(listener) }, server)
	return nil
}

// traffic lists what crossed the internet, the most first.
func (l *Lab) traffic() []Traffic {
	out := []Traffic{}
	for c, t := range l.fabric.Counters() {
		out = append(out, Traffic{From: placeName(c.FromCloud, c.FromRegion), To: placeName(c.ToCloud, c.ToRegion), Protocol: c.Protocol, Port: c.Port, Packets: t.Packets, Bytes: t.Bytes})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Bytes > out[j].Bytes })
	return out
}

func placeName(cloud, region string) string {
	if cloud == fabric.HomeCloud {
		return "home"
	}
	return cloud + "/" + region
}

// AskTraffic asks the lab that runs in a folder what crossed its internet.
func AskTraffic(ctx context.Context, dir string) ([]Traffic, error) {
	var out []Traffic
	err := ask(ctx, dir, http.MethodGet, "/traffic", nil, &out)
	return out, err
}

// refusal is the socket's form of an error.
type refusal struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone; there is nobody to tell
}

// ask sends a request to the socket of the lab that runs in a folder. A nil in sends no body, a nil out wants none.
func ask(ctx context.Context, dir, method, path string, in, out any) error {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, controlFile))
		},
	}}
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return fmt.Errorf("ask the lab: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, &body)
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		var no refusal
		if err := json.NewDecoder(resp.Body).Decode(&no); err != nil || no.Error == "" {
			return fmt.Errorf("the lab answered %s to %s %s", resp.Status, method, path)
		}
		return errors.New(no.Error)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("the lab's answer: %w", err)
	}
	return nil
}
