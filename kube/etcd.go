package kube

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Etcd talks to one etcd member through its JSON gateway (etcd's documented /v3 paths), over a connection that leads to
// the member's own machine.
type Etcd struct {
	http *http.Client
}

// etcdAnswer is how long a member may take to answer, but for its snapshot.
const etcdAnswer = 20 * time.Second

// EtcdMember is one member of the etcd cluster.
type EtcdMember struct {
	ID string `json:"ID"`
	// Name is empty until the member has started for the first time.
	Name string `json:"name"`
}

// EtcdState is what one member says of itself and of its cluster, which it does without a majority too.
type EtcdState struct {
	// Cluster and Self are the ids of the cluster and of the member that answers.
	Cluster, Self string
	// Leader says that the member knows a leader: then a majority of the members is there.
	Leader bool
	// Revision is how far its data is.
	Revision int64
	Members  []EtcdMember
}

// ConnectEtcd makes a client for the member that dial leads to; the address is that member's 127.0.0.1:2379.
func ConnectEtcd(pki PKI, dial Dial, now time.Time) (*Etcd, error) {
	pair, err := pki.EtcdCA.Client("skyweld-engine", nil, now, time.Hour)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair([]byte(pair.Cert), []byte(pair.Key))
	if err != nil {
		return nil, fmt.Errorf("etcd client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(pki.EtcdCA.Cert)) {
		return nil, errors.New("the cluster's etcd CA certificate is not PEM")
	}
	return &Etcd{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial(ctx, network, "127.0.0.1:2379")
		},
		TLSClientConfig:   &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}}, nil
}

// State asks the member for what it knows, or, if it must be sure, for what a majority does.
func (e *Etcd) State(ctx context.Context, sure bool) (EtcdState, error) {
	var list struct {
		Header struct {
			Cluster string `json:"cluster_id"`
			Self    string `json:"member_id"`
		} `json:"header"`
		Members []EtcdMember `json:"members"`
	}
	if err := e.call(ctx, "/v3/cluster/member/list", map[string]any{"linearizable": sure}, &list); err != nil {
		return EtcdState{}, fmt.Errorf("list etcd members: %w", err)
	}
	var status struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
		Leader string `json:"leader"`
	}
	if err := e.call(ctx, "/v3/maintenance/status", map[string]any{}, &status); err != nil {
		return EtcdState{}, fmt.Errorf("ask etcd for its state: %w", err)
	}
	out := EtcdState{Cluster: list.Header.Cluster, Self: list.Header.Self, Members: list.Members, Leader: status.Leader != "" && status.Leader != "0"}
	if status.Header.Revision != "" { // JSON leaves out a zero
		var err error
		if out.Revision, err = strconv.ParseInt(status.Header.Revision, 10, 64); err != nil {
			return EtcdState{}, fmt.Errorf("ask etcd for its state: its revision: %w", err)
		}
	}
	return out, nil
}

// Remove takes the member with the given name out; one that isn't there is success. It says whether it removed one.
func (e *Etcd) Remove(ctx context.Context, name string) (bool, error) {
	state, err := e.State(ctx, true)
	if err != nil {
		return false, err
	}
	for _, m := range state.Members {
		if m.Name != name {
			continue
		}
		if err := e.call(ctx, "/v3/cluster/member/remove", map[string]any{"ID": m.ID}, nil); err != nil {
			return false, fmt.Errorf("remove etcd member %s: %w", name, err)
		}
		return true, nil
	}
	return false, nil
}

// Snapshot writes the member's whole data to w, in the form that etcdutl takes: a database and its SHA-256. It fails when
// the two don't belong together.
func (e *Etcd) Snapshot(ctx context.Context, w io.Writer) (size int64, err error) {
	resp, err := e.post(ctx, "/v3/maintenance/snapshot", map[string]any{})
	if err != nil {
		return 0, fmt.Errorf("take a snapshot of etcd: %w", err)
	}
	defer resp.Body.Close()
	check := &trailing{hash: sha256.New()}
	for parts := json.NewDecoder(resp.Body); ; {
		var part struct {
			Result struct {
				Blob []byte `json:"blob"`
			} `json:"result"`
			Error json.RawMessage `json:"error"`
		}
		if err := parts.Decode(&part); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return size, fmt.Errorf("take a snapshot of etcd: after %d bytes: %w", size, err)
		}
		if len(part.Error) > 0 {
			return size, fmt.Errorf("take a snapshot of etcd: after %d bytes: %.300s", size, part.Error)
		}
		size += int64(len(part.Result.Blob))
		check.write(part.Result.Blob)
		if _, err := w.Write(part.Result.Blob); err != nil {
			return size, fmt.Errorf("take a snapshot of etcd: keep it: %w", err)
		}
	}
	if err := check.err(size); err != nil {
		return size, fmt.Errorf("take a snapshot of etcd: %w", err)
	}
	return size, nil
}

// trailing holds data against the SHA-256 that it ends with.
type trailing struct {
	hash hash.Hash
	tail []byte
}

func (t *trailing) write(data []byte) {
	t.tail = append(t.tail, data...)
	if n := len(t.tail) - sha256.Size; n > 0 {
		t.hash.Write(t.tail[:n])
		t.tail = append(t.tail[:0:0], t.tail[n:]...)
	}
}

// databasePage is what the size of etcd's database is a multiple of.
const databasePage = 512

func (t *trailing) err(size int64) error {
	if size <= sha256.Size || size%databasePage != sha256.Size {
		return fmt.Errorf("%d bytes are no whole snapshot", size)
	}
	if got := t.hash.Sum(nil); !bytes.Equal(got, t.tail) {
		return fmt.Errorf("its SHA-256 is %x, and it says %x: it is damaged", got, t.tail)
	}
	return nil
}

func (e *Etcd) call(ctx context.Context, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, etcdAnswer)
	defer cancel()
	resp, err := e.post(ctx, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(data, out)
}

// post sends a request; the answer is a good one, and its body must be closed.
func (e *Etcd) post(ctx context.Context, path string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://localhost:2379"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", resp.Status, err)
	}
	return nil, fmt.Errorf("%s: %.300s", resp.Status, data)
}
