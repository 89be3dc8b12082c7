package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/remote"
)

// SettingEgress is the account setting that names the addresses from which the engine reaches machines of the account: one
// or more ranges, separated by commas.
const SettingEgress = "egress"

// EgressError says that it can't be found out from which address the engine reaches the machines of an account. Trying again may
// help, so it is no Problem: those end a change.
type EgressError struct {
	Account string
	Err     error
}

func (e *EgressError) Error() string {
	return fmt.Sprintf("account %s: the address from which the engine reaches the internet could not be found out (%v): set it with 'skyweld account update %s --egress', or with --egress of 'skyweld serve'",
		e.Account, e.Err, e.Account)
}

func (e *EgressError) Unwrap() error { return e.Err }

// egress returns the addresses that machines of a site see the engine come from: as the account or the engine's options
// say, else as it is found out anew. Where that can't be found out now, the last known ones stay: to close the firewall,
// or to stop, would help nobody.
func (s *survey) egress(ctx context.Context, st *site) ([]netip.Prefix, error) {
	if text := st.account.Settings[SettingEgress]; text != "" {
		return ParsePrefixes(text)
	}
	if len(s.e.opts.Egress) > 0 {
		return s.e.opts.Egress, nil
	}
	if known, ok := s.found[st.account.Name]; ok {
		return known, nil
	}
	found, err := s.e.opts.FindEgress(ctx, st.account.Proxy)
	if err != nil {
		found = s.status.Egress[st.account.Name]
		if len(found) == 0 {
			return nil, &EgressError{Account: st.account.Name, Err: err}
		}
		s.e.log.Warn("the engine's address on the internet could not be found out; the last known one stays", "cluster", s.spec.Metadata.Name, "account", st.account.Name, "egress", found, "err", err)
	}
	s.found[st.account.Name] = found
	known := maps.Clone(s.status.Egress)
	if known == nil {
		known = map[string][]netip.Prefix{}
	}
	known[st.account.Name] = found
	s.status.Egress = known
	return found, nil
}

// egressURLs answer with the caller's IPv4 address in plain text. They belong to different owners.
var egressURLs = []string{"https://checkip.amazonaws.com/", "https://ipv4.icanhazip.com/", "https://api.ipify.org/"}

// egressPatience is how long all of them have together.
const egressPatience = 10 * time.Second

// FindEgress asks independent services which address the engine's connections come from, through the account's proxy where
// it has one. An address that two of them name is taken; where no two agree, as behind a NAT with several addresses, all
// are. It fails when none answers.
func FindEgress(ctx context.Context, proxy string) ([]netip.Prefix, error) {
	dial, err := remote.Dialer(proxy)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, egressPatience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	answers, failed := make([]netip.Addr, len(egressURLs)), make([]error, len(egressURLs))
	var group errgroup.Group
	for i, url := range egressURLs {
		group.Go(func() error {
			answers[i], failed[i] = askEgress(ctx, client, url)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	found := agreed(answers)
	if len(found) == 0 {
		if proxy != "" { // all go the same way
			return nil, failed[0]
		}
		return nil, errors.Join(failed...)
	}
	return found, nil
}

// agreed picks the addresses that most name; the invalid ones are of those that didn't answer.
func agreed(answers []netip.Addr) []netip.Prefix {
	votes, most := map[netip.Addr]int{}, 0
	for _, a := range answers {
		if a.IsValid() {
			votes[a]++
			most = max(most, votes[a])
		}
	}
	var out []netip.Prefix
	for a, n := range votes {
		if n == most {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return out
}

// proxyTrouble says in words why a proxy doesn't do what it is for.
func proxyTrouble(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "it hung up"
	}
	return err.Error()
}

func askEgress(ctx context.Context, client *http.Client, url string) (netip.Addr, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask %s: %w", url, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		if p, ok := errors.AsType[*remote.ProxyError](err); ok {
			return netip.Addr{}, fmt.Errorf("the account's proxy %s does not lead to %s: %s", p.Proxy, req.URL.Host, proxyTrouble(p.Err))
		}
		if text, _, ok := cloud.WayError(err); ok {
			return netip.Addr{}, errors.New(text)
		}
		return netip.Addr{}, fmt.Errorf("ask %s: %w", url, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 100))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask %s: %w", url, err)
	}
	a, err := netip.ParseAddr(strings.TrimSpace(string(body)))
	if resp.StatusCode != http.StatusOK || err != nil || !a.Is4() || !a.IsGlobalUnicast() || a.IsPrivate() {
		return netip.Addr{}, fmt.Errorf("ask %s: its answer (%s) is no public IPv4 address", url, resp.Status)
	}
	return a, nil
}

// widestEgress is the largest range that may be let in, as for spec.access: never everybody, nor in pieces.
const (
	widestEgress = 8
	mostEgress   = 50
)

// ParsePrefixes reads IPv4 addresses and ranges separated by commas, of which none is larger than a /8.
func ParsePrefixes(text string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		p, err := netip.ParsePrefix(part)
		if a, aerr := netip.ParseAddr(part); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is neither an address nor a range like 203.0.113.0/24", part)
		case !p.Addr().Is4():
			return nil, fmt.Errorf("%s is IPv6: machines are reached by IPv4", part)
		case p.Bits() < widestEgress:
			return nil, fmt.Errorf("%s is too large: want an IPv4 range of /8 or smaller, never everybody", p)
		}
		out = append(out, p.Masked())
	}
	if len(out) > mostEgress {
		return nil, fmt.Errorf("there are %d ranges; want at most %d", len(out), mostEgress)
	}
	return out, nil
}
