package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// Way is what machines measured of the round trip between two sites, before Kubernetes was set up over it.
type Way struct {
	RTT time.Duration `json:"rtt"`
	At  time.Time     `json:"at"`
	// P99, Sent, Received and Bits are what a cluster that only measures finds out beside that; see store.Measurement.
	P99      time.Duration `json:"p99,omitempty"`
	Sent     int           `json:"sent,omitempty"`
	Received int           `json:"received,omitempty"`
	Bits     int64         `json:"bits,omitempty"`
	// Accepted is who or what let it be, where it is over the limit.
	Accepted string `json:"accepted,omitempty"`
}

const (
	// farType is the condition that sites are farther apart than the cluster file allows.
	farType = "LatencyHigh"
	// farRemembered is how long it holds in a cluster that went on all the same: by then what is measured all the time says more.
	farRemembered = time.Hour
	// itself is who asks for what the engine does by itself.
	itself = "skyweld"
	// envoys is how many nodes of a site measure, and are measured: more than one, as one machine may be an odd one.
	envoys = 2
	// envoyProbes is how many probes each sends to each, a second's.
	envoyProbes = 50
	// envoyPatience is how long is waited for the first answer: tunnels have only just come up.
	envoyPatience = time.Minute
	// envoyTries is how often a way is measured before it is said to be too long.
	envoyTries = 4
)

// onLatencyKey is the context key under which a choice for spec.network.onLatency stands that goes before a file's.
type onLatencyKey struct{}

// OnLatency returns a context in which Plan and Apply take a choice for spec.network.onLatency in the place of the file's;
// empty for the file's own.
func OnLatency(ctx context.Context, choice string) context.Context {
	if choice == "" {
		return ctx
	}
	return context.WithValue(ctx, onLatencyKey{}, choice)
}

// limit is the longest round trip that the cluster file allows.
func (s *survey) limit() time.Duration { return time.Duration(s.spec.Spec.Network.MaxRTT) }

// tooFar says that a measured way is over the limit.
func (s *survey) tooFar(w Way) bool { return w.RTT > s.limit() && !s.spec.Measures() }

// ways are those between all sites, with why each is to be measured.
func (s *survey) ways() []plan.Way {
	var out []plan.Way
	for i, a := range s.spec.Spec.Sites {
		for _, b := range s.spec.Spec.Sites[i+1:] {
			w := plan.Way{A: a.Name, B: b.Name}
			switch m, ok := s.status.Ways[w.Key()]; {
			case !ok && s.spec.Measures():
				w.Why = fmt.Sprintf("to be measured for %s; %s", s.spec.Spec.Measure.For, s.tableSays(w))
			case !ok:
				w.Why = fmt.Sprintf("the limit is %s, and nobody has measured it here yet; %s", s.limit(), s.tableSays(w))
			case s.tooFar(m) && s.accepts(m) == "":
				w.Why = fmt.Sprintf("it was %s at %s, and the limit is %s", inMilliseconds(m.RTT), m.At.UTC().Format("15:04:05 MST"), s.limit())
			}
			out = append(out, w)
		}
	}
	return out
}

// accepts is who or what lets a way be that is over the limit, empty for nobody.
func (s *survey) accepts(w Way) string {
	switch {
	case w.Accepted != "":
		return w.Accepted
	case s.approved != "":
		return s.approved
	case s.spec.Spec.Network.OnLatency == spec.ContinueFar:
		return "spec.network.onLatency"
	}
	return ""
}

// tableSays says what the catalogue has of a way.
func (s *survey) tableSays(w plan.Way) string {
	a, okA := s.place(w.A)
	b, okB := s.place(w.B)
	if !okA || !okB {
		return "the table has nothing of it"
	}
	return "the table has " + geo.Between(a, b).String()
}

func (s *survey) place(name string) (geo.Place, bool) {
	st := s.sites[name]
	if st == nil {
		return geo.Place{}, false
	}
	return geo.Region(string(st.account.Provider), st.spec.Region)
}

// siteText is a site with where it is.
func (s *survey) siteText(name string) string {
	if p, ok := s.place(name); ok {
		return fmt.Sprintf("%s (%s)", name, p)
	}
	return name
}

func inMilliseconds(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

// farText says that a way is over the limit.
func (s *survey) farText(key string, w Way) string {
	a, b, _ := strings.Cut(key, "/")
	return fmt.Sprintf("the round trip between the sites %s and %s is %s, measured by their machines at %s, and the limit (spec.network.maxRTT) is %s; %s",
		s.siteText(a), s.siteText(b), inMilliseconds(w.RTT), w.At.UTC().Format("2006-01-02 15:04:05 MST"), s.limit(), s.tableSays(plan.Way{A: a, B: b}))
}

// farQuestion says what waits for somebody's word, and how to give it.
func (s *survey) farQuestion() string {
	name := s.spec.Metadata.Name
	what := "Kubernetes is not set up; the machines stay, and cost. 'skyweld delete " + name + "' removes them"
	if s.status.Initialized {
		what = "The machines of the new site don't join; they stay, and cost. Workers are taken out again with a count of 0"
	}
	return fmt.Sprintf("%s. To go on all the same: 'skyweld reconcile %s --approve', or apply a higher spec.network.maxRTT. Until then it is measured again, and goes on by itself when it is less", what, name)
}

// farCondition is the condition of sites that are too far apart, and its removal where none are.
func (s *survey) farCondition() []store.Condition {
	if s.spec == nil {
		return nil
	}
	var far, open []string
	for _, key := range sortedKeys(s.status.Ways) {
		w := s.status.Ways[key]
		if !s.tooFar(w) || w.Accepted != "" && s.status.Initialized && s.now.Sub(w.At) > farRemembered {
			continue
		}
		text := s.farText(key, w)
		if by := s.accepts(w); by != "" {
			text += ", accepted by " + by
		} else {
			open = append(open, key)
		}
		far = append(far, text)
	}
	if len(far) == 0 {
		return []store.Condition{{Type: farType}}
	}
	c := store.Condition{Type: farType, Status: conditionTrue, Reason: "Accepted", Message: strings.Join(far, "; "), Since: time.Now().UTC()}
	if len(open) > 0 {
		c.Reason, c.Message = "Waiting", c.Message+". "+s.farQuestion()
	}
	return []store.Condition{c}
}

// rememberAccepted records of ways over the limit that somebody, or by now the cluster file, lets them be: an approval is good
// for one run, and what came of it stays.
func (r *run) rememberAccepted(ctx context.Context) error {
	for _, key := range sortedKeys(r.status.Ways) {
		w := r.status.Ways[key]
		by := r.accepts(w)
		if !r.tooFar(w) || w.Accepted != "" || by == "" {
			continue
		}
		w.Accepted = by
		if err := r.keepWay(ctx, key, w); err != nil {
			return err
		}
		r.warn(ctx, farType, "cluster "+r.spec.Metadata.Name, r.farText(key, w)+"; it goes on, as accepted by "+by)
	}
	return nil
}

// keepWay records a way, and what it means for the cluster's conditions.
func (r *run) keepWay(ctx context.Context, key string, w Way) error {
	give, err := r.wayLock.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	ways := map[string]Way{key: w}
	for k, old := range r.status.Ways {
		if k != key {
			ways[k] = old
		}
	}
	r.status.Ways = ways
	return r.e.saveStatus(ctx, r.fence, store.Reconciling, r.survey, r.farCondition()...)
}

// measureWay lets machines of two sites measure the way between them, and says no to one that is over the limit, unless it is
// let be: then nothing that waits for it is done.
func (r *run) measureWay(ctx context.Context, s plan.Step) error {
	a, b, _ := strings.Cut(s.Key, "/")
	way, err := retryPlain(ctx, min(envoyPatience, r.e.patience.step), func(ctx context.Context) (Way, error) {
		rtt, err := r.roundTrip(ctx, a, b)
		return Way{RTT: rtt}, err
	})
	if err == nil && r.spec.Measures() {
		way, err = r.measureLong(ctx, a, b)
	}
	if err != nil {
		return err
	}
	if err := r.mayGoOn(ctx); err != nil {
		return err
	}
	way.At = time.Now().UTC()
	over := r.tooFar(way)
	if over && r.spec.Spec.Network.OnLatency == spec.ContinueFar {
		way.Accepted = "spec.network.onLatency"
	}
	if err := r.keepWay(ctx, s.Key, way); err != nil {
		return err
	}
	object := "cluster " + r.spec.Metadata.Name
	text := r.farText(s.Key, way)
	switch {
	case !over:
		r.note(ctx, "RoundTripMeasured", object, fmt.Sprintf("the round trip between the sites %s and %s is %s; %s", r.siteText(a), r.siteText(b), inMilliseconds(way.RTT), r.tableSays(plan.Way{A: a, B: b})))
		return nil
	case way.Accepted != "":
		r.warn(ctx, farType, object, text+"; it goes on, as accepted by "+way.Accepted)
		return nil
	case r.spec.Spec.Network.OnLatency == spec.RemoveFar && !r.status.Initialized:
		return r.removeAgain(ctx, object, text)
	}
	r.warn(ctx, farType, object, text)
	return fmt.Errorf("%s. %s", text, r.farQuestion())
}

// removeAgain asks for the end of a cluster that is not to be, as spec.network.onLatency says.
func (r *run) removeAgain(ctx context.Context, object, why string) error {
	if _, err := r.e.store.AddChange(ctx, store.Change{Cluster: r.cluster.UID, Kind: store.Delete, Who: itself,
		Summary: summaries[store.Delete] + ", as spec.network.onLatency is " + spec.RemoveFar + ": " + why}); err != nil {
		return err
	}
	r.warn(ctx, farType, object, why+"; the cluster is deleted again, as spec.network.onLatency says")
	return fmt.Errorf("%s: %w", why, errDeleteAsked)
}

// roundTrip is how long the way between two sites is. One over the limit is measured again, and the shortest counts: new machines
// are busy with themselves and answer late for a while, but how far apart they are shows as soon as they aren't.
func (r *run) roundTrip(ctx context.Context, a, b string) (time.Duration, error) {
	shortest, err := r.roundTripNow(ctx, a, b)
	for try := 1; try < envoyTries && err == nil && r.tooFar(Way{RTT: shortest}); try++ {
		select {
		case <-time.After(r.e.patience.again):
		case <-ctx.Done():
			return shortest, nil
		}
		if rtt, err := r.roundTripNow(ctx, a, b); err == nil {
			shortest = min(shortest, rtt)
		}
	}
	return shortest, err
}

// roundTripNow is the middle one of the shortest round trips between the envoys of two sites. The shortest is the way's length;
// what machines and queues add to it comes and goes, and is watched in the cluster.
func (r *run) roundTripNow(ctx context.Context, a, b string) (time.Duration, error) {
	from, to := r.envoysOf(a), r.envoysOf(b)
	if len(from) == 0 || len(to) == 0 {
		return 0, fmt.Errorf("measure %s to %s: no machine is there to measure", a, b)
	}
	byAddress := map[netip.Addr]*Facts{}
	for _, f := range to {
		byAddress[f.Address] = f
	}
	var trips []time.Duration
	var errs []error
	for _, f := range from {
		measured, err := r.measure(ctx, f, to, byAddress, envoyProbes)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, t := range measured {
			if t.Received*2 < t.Sent || t.Min <= 0 {
				errs = append(errs, fmt.Errorf("%s to %s: of %d probes %d came back", t.From, t.To, t.Sent, t.Received))
				continue
			}
			trips = append(trips, time.Duration(t.Min)*time.Microsecond)
		}
	}
	if len(trips) == 0 {
		return 0, &cloud.Error{Class: cloud.Unavailable, Op: fmt.Sprintf("measure the round trip between %s and %s through the tunnel", a, b), Err: errors.Join(errs...)}
	}
	slices.Sort(trips)
	return trips[len(trips)/2], nil
}

// envoysOf are the nodes of a site that measure for it: those of the control plane before others.
func (r *run) envoysOf(site string) []*Facts {
	var plane, others []*Facts
	for _, n := range r.nodes {
		f := r.facts.get(n.Name)
		switch {
		case n.Site != site || f == nil || !f.prepared():
		case n.Role == spec.RoleControlPlane:
			plane = append(plane, f)
		default:
			others = append(others, f)
		}
	}
	all := append(plane, others...)
	return all[:min(envoys, len(all))]
}
