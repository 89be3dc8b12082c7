package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/node"
)

// kubeletConfig is the kubeconfig of the node's kubelet, which may change its own Node.
const kubeletConfig = "/etc/kubernetes/kubelet.conf"

// publishWithin bounds one try.
const publishWithin = 10 * time.Second

// publishSpread is how long a node waits at most before it publishes, or all nodes would write at once.
const publishSpread = 2 * time.Second

// publisher puts what was measured into the annotation of the node's own Node, where the engine sees it without a connection to
// this machine. Only the newest counts: what could not be published yet is forgotten when there is something newer.
type publisher struct {
	machine *host.Machine
	log     *slog.Logger
	newest  chan published
	failing bool
	spread  time.Duration
}

type published struct {
	node    string
	latency node.Latency
}

func newPublisher(ctx context.Context, m *host.Machine) *publisher {
	p := &publisher{machine: m, log: m.Log, newest: make(chan published, 1), spread: publishSpread}
	go p.keep(ctx)
	return p
}

// give takes what the node of a name is to show, and returns at once.
func (p *publisher) give(name string, latency node.Latency) {
	for {
		select {
		case p.newest <- published{name, latency}:
			return
		default:
		}
		select {
		case <-p.newest:
		default:
		}
	}
}

func (p *publisher) keep(ctx context.Context) {
	for {
		var what published
		select {
		case <-ctx.Done():
			return
		case what = <-p.newest:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(rand.N(p.spread + 1)):
		}
		if !p.machine.Exists(kubeletConfig) { // not in Kubernetes yet
			continue
		}
		err := p.publish(ctx, what)
		switch {
		case err != nil && !p.failing && ctx.Err() == nil:
			p.log.Warn("latency is not published; it is kept for who asks", "error", err)
		case err == nil && p.failing:
			p.log.Info("latency is published again")
		}
		p.failing = err != nil
	}
}

// publish writes the annotation.
func (p *publisher) publish(ctx context.Context, what published) error {
	server, client, err := kubeletClientOf(p.machine)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	value, err := json.Marshal(what.latency)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{node.LatencyAnnotation: string(value)}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, publishWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, server+"/api/v1/nodes/"+what.node+"?fieldManager=skyweld", bytes.NewReader(patch))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/merge-patch+json")
	// The answer is the whole Node; its metadata are enough.
	request.Header.Set("Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusNotFound { // the kubelet hasn't registered it yet
		return nil
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("annotate node %s: %s: %s", what.node, response.Status, bytes.TrimSpace(answer[:min(len(answer), 300)]))
	}
	return nil
}

// kubeletClientOf reads the kubelet's kubeconfig, as kubeadm writes it: one cluster, one user.
func kubeletClientOf(m *host.Machine) (server string, client *http.Client, err error) {
	config, err := m.Read(kubeletConfig)
	if err != nil {
		return "", nil, err
	}
	ca, err := kubeconfigPart(m, config, "certificate-authority")
	if err != nil {
		return "", nil, err
	}
	certificate, err := kubeconfigPart(m, config, "client-certificate")
	if err != nil {
		return "", nil, err
	}
	key, err := kubeconfigPart(m, config, "client-key")
	if err != nil {
		return "", nil, err
	}
	server = kubeconfigField(config, "server")
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", kubeletConfig, err)
	}
	pool := x509.NewCertPool()
	if !strings.HasPrefix(server, "https://") || !pool.AppendCertsFromPEM(ca) {
		return "", nil, fmt.Errorf("%s names no server with its authority", kubeletConfig)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	return server, &http.Client{Transport: transport}, nil
}

// kubeconfigPart is what a kubeconfig holds, or the file that it names does.
func kubeconfigPart(m *host.Machine, config []byte, name string) ([]byte, error) {
	if data := kubeconfigField(config, name+"-data"); data != "" {
		raw, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %s-data: %w", kubeletConfig, name, err)
		}
		return raw, nil
	}
	file := kubeconfigField(config, name)
	if file == "" {
		return nil, fmt.Errorf("%s: no %s", kubeletConfig, name)
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(kubeletConfig), file)
	}
	data, err := os.ReadFile(m.Path(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", kubeletConfig, name, err)
	}
	return data, nil
}

func kubeconfigField(config []byte, name string) string {
	found := regexp.MustCompile(`(?m)^[\s-]*` + regexp.QuoteMeta(name) + `:\s*"?([^\s"]+)"?\s*$`).FindSubmatch(config)
	if found == nil {
		return ""
	}
	return string(found[1])
}
