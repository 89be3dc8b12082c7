package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Etcd talks to one etcd member through its JSON gateway (etcd's documented /v3 paths), over a connection that leads to
// the member's own machine.
type Etcd struct {
	http *http.Client
}

// EtcdMember is one member of the etcd cluster.
type EtcdMember struct {
	ID   string `json:"ID"`
	Name string `json:"name"`
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
	return &Etcd{http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial(ctx, network, "127.0.0.1:2379")
		},
		TLSClientConfig:   &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}}, nil
}

// Members lists the members.
func (e *Etcd) Members(ctx context.Context) ([]EtcdMember, error) {
	var out struct {
		Members []EtcdMember `json:"members"`
	}
	if err := e.call(ctx, "/v3/cluster/member/list", map[string]any{}, &out); err != nil {
		return nil, fmt.Errorf("list etcd members: %w", err)
	}
	return out.Members, nil
}

// Remove takes the member with the given name out; one that isn't there is success. It says whether it removed one.
func (e *Etcd) Remove(ctx context.Context, name string) (bool, error) {
	members, err := e.Members(ctx)
	if err != nil {
		return false, err
	}
	for _, m := range members {
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

func (e *Etcd) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://localhost:2379"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.300s", resp.Status, data)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}
