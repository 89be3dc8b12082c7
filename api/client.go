package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/spec"
)

// Client speaks to an engine.
type Client struct {
	// Base is the engine's address, "http://127.0.0.1:8420".
	Base  string
	Token string
	// Who is asking, for people to see.
	Who  string
	HTTP *http.Client

	// ifMatch, ifNew and key are what its writes are bound to.
	ifMatch, key string
	// onLatency goes with every cluster file that it sends, where it isn't empty.
	onLatency string
	ifNew     bool
}

// ErrNoEngine is in the chain when nothing answers at the engine's address.
var ErrNoEngine = errors.New("no engine answers")

func (p *Problem) Error() string {
	lines := []string{p.Detail + ":"}
	for _, e := range p.Errors {
		if strings.HasSuffix(p.Detail, e.Message) || p.Status == http.StatusPreconditionFailed {
			continue // it is said already
		}
		if e.Location != "" && !strings.Contains(e.Message, e.Location) {
			e.Message = e.Location + ": " + e.Message
		}
		lines = append(lines, "  "+e.Message)
	}
	if len(lines) == 1 {
		return p.Detail
	}
	return strings.Join(lines, "\n")
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return c.unanswered(method, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 || strange(resp) {
		return c.refused(resp)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return c.unanswered(method, err)
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%w (its answer can't be read: %w)", c.stranger(), err)
	}
	return nil
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+"/api/v1"+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(whoHeader, c.Who)
	if method != http.MethodGet {
		c.bind(req.Header)
	}
	return req, nil
}

// bind binds a write to what is asked of it, and gives it a key: the request may then be sent again when the connection
// breaks before its answer.
func (c *Client) bind(h http.Header) {
	h.Set(keyHeader, cmp.Or(c.key, newKey()))
	if c.ifMatch != "" {
		h.Set("If-Match", c.ifMatch)
	}
	if c.ifNew {
		h.Set("If-None-Match", "*")
	}
}

// strange says that an answer is of a kind that the engine never gives.
func strange(resp *http.Response) bool {
	kind := resp.Header.Get("Content-Type")
	return kind != "" && !strings.HasPrefix(kind, "application/json") && !strings.HasPrefix(kind, "application/problem+json")
}

// refused is the error of an answer that isn't what was asked for.
func (c *Client) refused(resp *http.Response) error {
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return c.unanswered(resp.Request.Method, err)
	}
	if strange(resp) || resp.StatusCode < 300 {
		return c.stranger()
	}
	p := &Problem{Status: resp.StatusCode}
	if json.Unmarshal(data, p) != nil || p.Detail == "" {
		p.Detail = fmt.Sprintf("the engine answered %s", resp.Status)
	}
	return p
}

// unanswered explains a request without an answer. An engine that ends in the middle of one has done nothing when it was
// only to read.
func (c *Client) unanswered(method string, err error) error {
	broken := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), broken && method == http.MethodGet:
		return fmt.Errorf("%w at %s", ErrNoEngine, c.Base)
	case broken:
		return fmt.Errorf("the engine at %s ended before it answered, and may have taken the request on; 'skyweld get events CLUSTER' shows it: %w", c.Base, err)
	}
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the certificate of the engine at %s is not trusted: %w; --ca names a file with it", c.Base, bad.Err)
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return c.stranger()
	}
	return fmt.Errorf("ask the engine: %w", err)
}

// stranger is the error of an address where something else answers.
func (c *Client) stranger() error {
	return fmt.Errorf("what answers at %s is not an engine of Skyweld: name its address with --engine, or its folder with --dir", c.Base)
}

type items[T any] struct {
	Items []T `json:"items"`
}

func fetch[T any](ctx context.Context, c *Client, path string) (T, error) {
	var v T
	err := c.call(ctx, http.MethodGet, path, nil, &v)
	return v, err
}

func fetchList[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	v, err := fetch[items[T]](ctx, c, path)
	return v.Items, err
}

// Version returns the engine's version.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return fetch[Version](ctx, c, "/version")
}

// Accounts lists accounts.
func (c *Client) Accounts(ctx context.Context) ([]Account, error) {
	return fetchList[Account](ctx, c, "/accounts")
}

// AddAccount adds an account after its check.
func (c *Client) AddAccount(ctx context.Context, a NewAccount) (AccountReport, error) {
	var r AccountReport
	err := c.call(ctx, http.MethodPost, "/accounts", a, &r)
	return r, err
}

// UpdateAccount gives an account other credentials or settings, after a check of them.
func (c *Client) UpdateAccount(ctx context.Context, name string, u AccountUpdate) (AccountReport, error) {
	var r AccountReport
	err := c.call(ctx, http.MethodPost, "/accounts/"+url.PathEscape(name), u, &r)
	return r, err
}

// CheckAccount checks an account.
func (c *Client) CheckAccount(ctx context.Context, name string) (AccountReport, error) {
	return fetch[AccountReport](ctx, c, "/accounts/"+url.PathEscape(name)+"/check")
}

// RemoveAccount forgets an account.
func (c *Client) RemoveAccount(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/accounts/"+url.PathEscape(name), nil, nil)
}

// Inventory lists what an account holds, in the given regions or all.
func (c *Client) Inventory(ctx context.Context, name string, regions []string) ([]cloud.Item, error) {
	q := ""
	if len(regions) > 0 {
		q = "?region=" + url.QueryEscape(strings.Join(regions, ","))
	}
	return fetchList[cloud.Item](ctx, c, "/accounts/"+url.PathEscape(name)+"/inventory"+q)
}

// send posts a cluster file. Bytes that aren't text would not survive it.
func (c *Client) send(ctx context.Context, path string, file []byte, out any) error {
	if err := spec.CheckText(file); err != nil {
		return fmt.Errorf("the cluster file is not valid:\n  %w", err)
	}
	if c.onLatency != "" {
		path += "?onLatency=" + url.QueryEscape(c.onLatency)
	}
	return c.call(ctx, http.MethodPost, path, File{Cluster: string(file)}, out)
}

// Plan says what applying a file would do.
func (c *Client) Plan(ctx context.Context, file []byte) (Plan, error) {
	var p Plan
	err := c.send(ctx, "/plan", file, &p)
	return p, err
}

// PlanChange says what a change of an existing cluster would do.
func (c *Client) PlanChange(ctx context.Context, name string, asked ChangeAsked) (Plan, error) {
	var p Plan
	err := c.call(ctx, http.MethodPost, cluster(name)+"/plan", asked, &p)
	return p, err
}

// Apply takes a cluster file on.
func (c *Client) Apply(ctx context.Context, file []byte) (Change, error) {
	var ch Change
	err := c.send(ctx, "/clusters", file, &ch)
	return ch, err
}

// Clusters lists clusters.
func (c *Client) Clusters(ctx context.Context) ([]Cluster, error) {
	return fetchAll[Cluster](ctx, c, "/clusters")
}

func cluster(name string) string { return "/clusters/" + url.PathEscape(name) }

// Cluster returns a cluster with its file.
func (c *Client) Cluster(ctx context.Context, name string) (Cluster, error) {
	return fetch[Cluster](ctx, c, cluster(name))
}

// Nodes lists a cluster's nodes.
func (c *Client) Nodes(ctx context.Context, name string) ([]Node, error) {
	return fetchAll[Node](ctx, c, cluster(name)+"/nodes")
}

// SeenNodes lists a cluster's nodes as they were seen last; it doesn't wait for Kubernetes.
func (c *Client) SeenNodes(ctx context.Context, name string) ([]Node, error) {
	return fetchAll[Node](ctx, c, cluster(name)+"/nodes?seen=true")
}

// AddNodes makes a group of workers larger.
func (c *Client) AddNodes(ctx context.Context, name, group string, count int) (Change, error) {
	var ch Change
	err := c.call(ctx, http.MethodPost, cluster(name)+"/nodes", map[string]any{"group": group, "count": count}, &ch)
	return ch, err
}

// RemoveNode takes a worker out.
func (c *Client) RemoveNode(ctx context.Context, name, node string) (Change, error) {
	var ch Change
	err := c.call(ctx, http.MethodDelete, cluster(name)+"/nodes/"+url.PathEscape(node), nil, &ch)
	return ch, err
}

// Grant lets a public key into a node for a few minutes.
func (c *Client) Grant(ctx context.Context, name, node, key string) (SSH, error) {
	var s SSH
	err := c.call(ctx, http.MethodPost, cluster(name)+"/nodes/"+url.PathEscape(node)+"/ssh", map[string]string{"publicKey": key}, &s)
	return s, err
}

// Latency measures the round trips between all nodes.
func (c *Client) Latency(ctx context.Context, name string) ([]Latency, error) {
	var v items[Latency]
	err := c.call(ctx, http.MethodPost, cluster(name)+"/latency", nil, &v)
	return v.Items, err
}

// Measured returns what nodes measured between sites since a moment, the last few minutes where that is zero; of one pair of
// sites ("aws/gcp"), or of all.
func (c *Client) Measured(ctx context.Context, name string, since time.Time, pair string) (Measured, error) {
	q := url.Values{}
	if !since.IsZero() {
		q.Set("since", since.UTC().Format(time.RFC3339))
	}
	if pair != "" {
		q.Set("pair", pair)
	}
	return fetch[Measured](ctx, c, cluster(name)+"/latency?"+q.Encode())
}

// Resources lists what a cluster has in its accounts.
func (c *Client) Resources(ctx context.Context, name string) ([]Resource, error) {
	return fetchAll[Resource](ctx, c, cluster(name)+"/resources")
}

// Runs lists a cluster's last runs, the newest first: at most limit, 1 to 200.
func (c *Client) Runs(ctx context.Context, name string, limit int) ([]Run, error) {
	return fetchList[Run](ctx, c, cluster(name)+"/runs?limit="+strconv.Itoa(limit))
}

// Run returns a run with its steps.
func (c *Client) Run(ctx context.Context, id int64) (Run, error) {
	return fetch[Run](ctx, c, "/runs/"+strconv.FormatInt(id, 10))
}

// Events lists a cluster's events, the oldest first.
func (c *Client) Events(ctx context.Context, name string, want EventQuery) ([]Event, error) {
	q := url.Values{"limit": {strconv.Itoa(cmp.Or(want.Limit, 100))}}
	if want.Watch {
		q.Set("watch", "true")
		q.Set("after", strconv.FormatInt(want.After, 10))
		q.Set("wait", strconv.Itoa(int(want.Wait.Seconds())))
	}
	if want.UID != "" {
		q.Set("uid", want.UID)
	}
	return fetchList[Event](ctx, c, cluster(name)+"/events?"+q.Encode())
}

// Kubeconfig returns a kubeconfig that is good for the given number of hours.
func (c *Client) Kubeconfig(ctx context.Context, name string, hours int) ([]byte, error) {
	f, err := fetch[File](ctx, c, cluster(name)+"/kubeconfig?hours="+strconv.Itoa(hours))
	return []byte(f.Cluster), err
}
