package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/agent/probe"
	"github.com/skyweld/skyweld/node"
)

const (
	envelopeLimit = 8 << 20 // bytes; a config of a thousand peers has half a megabyte
	probeLimit    = 1000    // probes of one peer
)

// failure is how the daemon says that something went wrong.
type failure struct {
	Error string `json:"error"`
}

// measurement is what is asked of the latency prober.
type measurement struct {
	// Addresses of peers; none for all.
	Addresses []netip.Addr `json:"addresses"`
	Count     int          `json:"count"`
}

// problemTrailer follows the output of kubeadm, and is empty when all went well.
const problemTrailer = "Skyweld-Problem"

// handler is the daemon's side of the socket. Who can open the socket is root. What changes the machine goes on until ctx
// is done, also when whoever asked for it is gone: half a change is worse than a whole one.
func (d *daemon) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/apply", func(w http.ResponseWriter, r *http.Request) {
		envelope, err := io.ReadAll(http.MaxBytesReader(w, r.Body, envelopeLimit))
		if err != nil {
			answer(w, nil, err)
			return
		}
		report, err := d.apply(ctx, envelope)
		answer(w, report, err)
	})
	mux.HandleFunc("POST /v1/kubeadm", func(w http.ResponseWriter, r *http.Request) {
		var b node.Bootstrap
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, envelopeLimit))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&b); err != nil {
			answer(w, nil, fmt.Errorf("read bootstrap: %w", err))
			return
		}
		w.Header().Set("Trailer", problemTrailer)
		w.WriteHeader(http.StatusOK)
		if err := d.bootstrap(ctx, b, &stream{out: w, flush: http.NewResponseController(w).Flush}); err != nil {
			w.Header().Set(problemTrailer, url.QueryEscape(err.Error()))
		}
	})
	mux.HandleFunc("POST /v1/lone-etcd", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, d.loneEtcd(ctx))
	})
	mux.HandleFunc("POST /v1/renew", func(w http.ResponseWriter, r *http.Request) {
		var renewal node.Renewal
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, envelopeLimit)).Decode(&renewal); err != nil {
			answer(w, nil, fmt.Errorf("read renewal: %w", err))
			return
		}
		answer(w, struct{}{}, d.renew(ctx, renewal))
	})
	mux.HandleFunc("GET /v1/identity", func(w http.ResponseWriter, _ *http.Request) {
		id, err := identity(d.machine, d.kernel)
		answer(w, id, err)
	})
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		status, err := d.status()
		answer(w, status, err)
	})
	mux.HandleFunc("GET /v1/latency", func(w http.ResponseWriter, r *http.Request) {
		since, err := time.Parse(time.RFC3339, r.FormValue("since"))
		if err != nil {
			answer(w, nil, err)
			return
		}
		answer(w, d.withMended(d.watch.Since(since)), nil)
	})
	mux.HandleFunc("POST /v1/latency", func(w http.ResponseWriter, r *http.Request) {
		var asked measurement
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, envelopeLimit)).Decode(&asked); err != nil {
			answer(w, nil, err)
			return
		}
		results, err := d.measure(r.Context(), asked)
		answer(w, results, err)
	})
	return mux
}

// stream passes output on as it comes, for as long as somebody takes it. It never fails: the work goes on without listeners.
type stream struct {
	out   io.Writer
	flush func() error
	gone  bool
}

func (s *stream) Write(data []byte) (int, error) {
	if !s.gone {
		_, err := s.out.Write(data)
		s.gone = err != nil || s.flush() != nil
	}
	return len(data), nil
}

// answer writes a result or an error as JSON.
func answer(w http.ResponseWriter, result any, err error) {
	code := http.StatusOK
	if err != nil {
		result, code = failure{Error: err.Error()}, http.StatusUnprocessableEntity
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// Whoever doesn't wait for the answer doesn't get it.
	_ = json.NewEncoder(w).Encode(result)
}

// measure probes peers inside the tunnel: from the first address of our pod block every address of a peer leads there.
func (d *daemon) measure(ctx context.Context, asked measurement) ([]probe.Result, error) {
	before, err := readAccepted(d.machine)
	if err != nil {
		return nil, err
	}
	if before == nil {
		return nil, errors.New("measure latency: this node has no config yet")
	}
	if asked.Count < 1 || asked.Count > probeLimit {
		return nil, fmt.Errorf("measure latency: %d probes are not between 1 and %d", asked.Count, probeLimit)
	}
	return probe.Measure(ctx, before.Config.Tunnel.Address.Addr(), targets(before.Config, asked.Addresses), asked.Count)
}

// targets are the peers with these private addresses, or all peers. One that is no peer is measured all the same.
func targets(c node.Config, addresses []netip.Addr) []probe.Target {
	var all []probe.Target
	names := map[netip.Addr]string{}
	for _, peer := range c.Tunnel.Peers {
		for _, allowed := range peer.AllowedIPs {
			if allowed.IsSingleIP() {
				names[allowed.Addr()] = peer.Name
				all = append(all, probe.Target{Peer: peer.Name, Address: allowed.Addr()})
			}
		}
	}
	if len(addresses) == 0 {
		return all
	}
	chosen := make([]probe.Target, len(addresses))
	for i, address := range addresses {
		chosen[i] = probe.Target{Peer: names[address], Address: address}
	}
	return chosen
}

// errNoDaemon means that nobody answers on the agent's socket.
var errNoDaemon = errors.New("the agent doesn't run on this machine")

// send asks the daemon something; the answer is a good one, and its body must be closed.
func send(ctx context.Context, m *host.Machine, method, path string, body io.Reader) (*http.Response, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", m.Path(socketFile))
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, body)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			return nil, fmt.Errorf("%w: %w", errNoDaemon, dial.Err)
		}
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	var failed failure
	if err := json.NewDecoder(response.Body).Decode(&failed); err != nil || failed.Error == "" {
		return nil, fmt.Errorf("ask the agent: it answers %s", response.Status)
	}
	return nil, errors.New(failed.Error)
}

// call asks the daemon something and decodes its answer.
func call(ctx context.Context, m *host.Machine, method, path string, body []byte, into any) error {
	response, err := send(ctx, m, method, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	return nil
}

// callKubeadm has the daemon make the machine a node and copies what kubeadm says while it works.
func callKubeadm(ctx context.Context, m *host.Machine, bootstrap io.Reader, output io.Writer) error {
	response, err := send(ctx, m, "POST", "/v1/kubeadm", bootstrap)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(output, response.Body); err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	problem, err := url.QueryUnescape(response.Trailer.Get(problemTrailer))
	if err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	if problem != "" {
		return errors.New(problem)
	}
	return nil
}
