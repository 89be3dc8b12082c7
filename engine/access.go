package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

// SSHAccess is how a person reaches a node for a while.
type SSHAccess struct {
	Name     string
	Address  netip.AddrPort
	User     string
	HostKeys []string
	Proxy    string
}

// sshGrant is how long a key that Grant puts on a node is accepted for new connections.
const sshGrant = 5 * time.Minute

// Grant lets a public key (one line in authorized_keys form) into a node for a few minutes. Lines of earlier grants that
// have run out are taken away.
func (e *Engine) Grant(ctx context.Context, cluster, node, key string) (SSHAccess, error) {
	pub, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
	if err != nil {
		return SSHAccess{}, Invalidf("publicKey", "not a public key in the form of authorized_keys")
	}
	s, err := e.known(ctx, cluster)
	if err != nil {
		return SSHAccess{}, err
	}
	f := s.facts.get(node)
	if f == nil {
		return SSHAccess{}, &Problem{Kind: Missing, Message: fmt.Sprintf("cluster %s has no node %q; it has %s", cluster, node, strings.Join(s.names(), ", "))}
	}
	if !f.prepared() {
		return SSHAccess{}, &Problem{Kind: NotNow, Message: fmt.Sprintf("node %s can't be reached yet", node)}
	}
	conn, err := s.connect(ctx, f, 20*time.Second)
	if err != nil {
		return SSHAccess{}, err
	}
	defer conn.Close()
	until := time.Now().Add(sshGrant).UTC()
	line := fmt.Sprintf(`expiry-time="%sZ" %s skyweld-grant %d`, until.Format("200601021504"), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub))), until.Unix())
	// The line's last word is when it runs out; awk keeps everything else.
	script := fmt.Sprintf(`set -e; f=/root/.ssh/authorized_keys; umask 077; awk '!/ skyweld-grant [0-9]+$/ || $NF > %d' "$f" > "$f.new"; cat >> "$f.new"; mv "$f.new" "$f"`, time.Now().Unix())
	if _, err := conn.Run(ctx, "sh -c '"+strings.ReplaceAll(script, "'", `'\''`)+"'", strings.NewReader(line+"\n"), nil); err != nil {
		return SSHAccess{}, err
	}
	return SSHAccess{Name: node, Address: netip.AddrPortFrom(f.Public, 22), User: "root", HostKeys: f.HostKeys, Proxy: s.sites[f.Site].account.Proxy}, nil
}

func (s *survey) names() []string {
	var names []string
	for _, f := range s.facts.all() {
		names = append(names, f.Name)
	}
	sort.Strings(names)
	return names
}

// RoundTrip is a measured way between two nodes, through the tunnel; times in microseconds.
type RoundTrip struct {
	From, To         string
	FromSite, ToSite string
	Sent, Received   int
	P50, P99, Min    int64
}

// Latency lets every node measure the way to every other.
func (e *Engine) Latency(ctx context.Context, cluster string) ([]RoundTrip, error) {
	s, err := e.known(ctx, cluster)
	if err != nil {
		return nil, err
	}
	byAddress := map[netip.Addr]*Facts{}
	var nodes []*Facts
	for _, f := range s.facts.all() {
		if f.prepared() {
			nodes = append(nodes, f)
			byAddress[f.Address] = f
		}
	}
	if len(nodes) < 2 {
		return nil, &Problem{Kind: NotNow, Message: fmt.Sprintf("cluster %s has %d nodes that can be reached: latency is between two", cluster, len(nodes))}
	}
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].Name < nodes[j].Name })
	rows := make([][]RoundTrip, len(nodes))
	var group errgroup.Group
	for i, from := range nodes {
		group.Go(func() error {
			var err error
			rows[i], err = s.measure(ctx, from, nodes, byAddress, latencyProbes)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var out []RoundTrip
	for _, r := range rows {
		out = append(out, r...)
	}
	s.meterRoundTrips(out)
	return out, nil
}

// meterRoundTrips tells the meter how far the sites are from each other: the middle one of what their nodes measured.
func (s *survey) meterRoundTrips(all []RoundTrip) {
	type way struct{ from, to string }
	ways := map[way][]int64{}
	for _, r := range all {
		if from, to := s.sites[r.FromSite], s.sites[r.ToSite]; from != nil && to != nil && r.FromSite != r.ToSite && r.Received > 0 {
			w := way{string(from.account.Provider) + " " + from.spec.Region, string(to.account.Provider) + " " + to.spec.Region}
			ways[w] = append(ways[w], r.P50)
		}
	}
	for w, measured := range ways {
		slices.Sort(measured)
		s.e.opts.Meter.RoundTrip(w.from, w.to, time.Duration(measured[len(measured)/2])*time.Microsecond)
	}
}

// latencyProbes is how many probes each node sends to each other when somebody asks.
const latencyProbes = 10

// measure asks one node for the round trips to others.
func (s *survey) measure(ctx context.Context, from *Facts, nodes []*Facts, byAddress map[netip.Addr]*Facts, count int) ([]RoundTrip, error) {
	conn, err := s.connect(ctx, from, 20*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	command := fmt.Sprintf("%s agent latency --count %d", agentPath, count)
	for _, to := range nodes {
		if to.Name != from.Name {
			command += " " + to.Address.String()
		}
	}
	data, err := conn.Run(ctx, command, nil, nil)
	if err != nil {
		return nil, err
	}
	var probes []struct {
		Address        netip.Addr `json:"address"`
		Sent, Received int
		P50, P99, Min  int64
	}
	if err := json.Unmarshal(data, &probes); err != nil {
		return nil, fmt.Errorf("latency from %s: %w", from.Name, err)
	}
	var out []RoundTrip
	for _, p := range probes {
		to := byAddress[p.Address]
		if to == nil {
			continue
		}
		out = append(out, RoundTrip{From: from.Name, To: to.Name, FromSite: from.Site, ToSite: to.Site, Sent: p.Sent, Received: p.Received, P50: p.P50, P99: p.P99, Min: p.Min})
	}
	return out, nil
}
