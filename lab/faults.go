package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/skyweld/skyweld/lab/fault"
	"github.com/skyweld/skyweld/lab/machine"
	"github.com/skyweld/skyweld/lab/world"
)

// The ports that a machine's faults take away.
const (
	sshPort     = 22
	kubeletPort = 10250
)

// suffering is which faults struck which machine, and what follows from that.
type suffering struct {
	set *fault.Set

	mu    sync.Mutex
	rules map[string][]fault.Rule // by machine, as of its last boot
	// networks are as the clouds want them; applying is held for reading while one of them is brought about, so that the
	// same network isn't set from here to an older state.
	networks map[string]network
	applying sync.RWMutex
}

type network struct {
	world.Network
	real world.Physical
	cut  bool // it was set with a machine, or all of it, cut off
}

func newSuffering(set *fault.Set) *suffering {
	return &suffering{set: set, rules: map[string][]fault.Rule{}, networks: map[string]network{}}
}

// boots decides what strikes a machine that is about to boot.
func (s *suffering) boots(cloud string, m world.Machine) {
	rules := s.set.Machine(cloud, m.ID, m.Hostname, m.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(rules) == 0 {
		delete(s.rules, m.ID)
		return
	}
	s.rules[m.ID] = rules
}

// broken is what is wrong in a machine.
func (s *suffering) broken(id string) machine.Broken {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b machine.Broken
	for _, r := range s.rules[id] {
		switch r.Kind {
		case fault.NoBoot:
			b.Hang = true
		case fault.NoSSH:
			b.Taken = append(b.Taken, sshPort)
		case fault.KubeadmFails:
			b.Taken = append(b.Taken, kubeletPort)
		}
	}
	return b
}

// offline says whether a machine is kept from the internet. A fault that struck as often as it was to holds until it is
// removed: it is the machine's.
func (s *suffering) offline(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.rules[id], func(r fault.Rule) bool { return r.Kind == fault.NoInternet && s.set.Holds(r.ID) })
}

// inside is what a machine without internet still reaches: private addresses (RFC 1918) and the link's own (RFC 3927).
var inside = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("169.254.0.0/16"),
}

// confine takes the way out from the interfaces of machines without internet, before all rules of the cloud: what comes
// in from there is still answered. A network that is cut off has neither.
func (s *suffering) confine(n world.Network) (world.Network, bool) {
	cut := false
	nics := slices.Clone(n.NICs)
	for i, nic := range nics {
		if nic.Machine != "" && s.offline(nic.Machine) {
			cut = true
			nics[i].Outbound = append([]world.Rule{
				{Priority: -2, Allow: true, Remote: inside}, {Priority: -1, Remote: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
			}, nic.Outbound...)
		}
	}
	n.NICs, n.Cut = nics, s.set.Cut(n.Cloud, n.Region)
	return n, cut || n.Cut
}

// follow sets the networks anew that lose the internet, or whose machines get it back.
func (s *suffering) follow(ctx context.Context, failed func(error)) {
	for {
		changed := s.set.Changed()
		if err := s.refresh(ctx); err != nil {
			failed(err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (s *suffering) refresh(ctx context.Context) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.mu.Lock()
	var stale []network
	for _, n := range s.networks {
		stale = append(stale, n)
	}
	s.mu.Unlock()
	var errs []error
	for _, n := range stale {
		now, cut := s.confine(n.Network)
		if !cut && !n.cut {
			continue
		}
		errs = append(errs, n.real.SetNetwork(ctx, now))
		n.cut = cut
		s.mu.Lock()
		s.networks[n.ID] = n
		s.mu.Unlock()
	}
	return errors.Join(errs...)
}

// faulty is a cloud's real side with faults on request.
type faulty struct {
	world.Physical
	*suffering
	cloud string
}

// SetNetwork brings a network about, without the internet for those who are to have none.
func (f faulty) SetNetwork(ctx context.Context, n world.Network) error {
	f.applying.RLock()
	defer f.applying.RUnlock()
	confined, cut := f.confine(n)
	f.mu.Lock()
	f.networks[n.ID] = network{n, f.Physical, cut}
	f.mu.Unlock()
	return f.Physical.SetNetwork(ctx, confined)
}

// RemoveNetwork takes a network away.
func (f faulty) RemoveNetwork(ctx context.Context, id string) error {
	f.applying.RLock()
	defer f.applying.RUnlock()
	f.mu.Lock()
	delete(f.networks, id)
	f.mu.Unlock()
	return f.Physical.RemoveNetwork(ctx, id)
}

// StartMachine boots a machine, and what is to befall it does.
func (f faulty) StartMachine(ctx context.Context, m world.Machine) error {
	if f.MachineState(m.ID) != world.Running {
		f.boots(f.cloud, m)
		if f.offline(m.ID) {
			if err := f.refresh(ctx); err != nil {
				return err
			}
		}
	}
	return f.Physical.StartMachine(ctx, m)
}

// DestroyMachine removes a machine, and forgets what befell it.
func (f faulty) DestroyMachine(ctx context.Context, id string) error {
	err := f.Physical.DestroyMachine(ctx, id)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.rules, id)
	return err
}

// faultRoutes are the part of the lab's own socket that is about faults.
func (l *Lab) faultRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, l.faults.List()) })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		var rule fault.Rule
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&rule)
		if err == nil && !slices.Contains(clouds, rule.Cloud) {
			err = fmt.Errorf("cloud: found %q: want one of %s", rule.Cloud, strings.Join(clouds, ", "))
		}
		if err == nil {
			rule, err = l.faults.Add(rule)
		}
		if err != nil {
			answer(w, http.StatusBadRequest, refusal{err.Error()})
			return
		}
		answer(w, http.StatusCreated, rule)
	})
	mux.HandleFunc("DELETE /faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || !l.faults.Remove(id) {
			answer(w, http.StatusNotFound, refusal{fmt.Sprintf("there is no fault %s: 'skyweld lab fault list' shows those there are", r.PathValue("id"))})
			return
		}
		answer(w, http.StatusOK, 1)
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, l.faults.Clear()) })
}

// AddFault puts a fault into force in the lab that runs in a folder.
func AddFault(ctx context.Context, dir string, r fault.Rule) (fault.Rule, error) {
	var out fault.Rule
	err := ask(ctx, dir, http.MethodPost, "/faults", r, &out)
	return out, err
}

// ListFaults lists the faults of the lab that runs in a folder, those that are over too.
func ListFaults(ctx context.Context, dir string) ([]fault.Rule, error) {
	var out []fault.Rule
	err := ask(ctx, dir, http.MethodGet, "/faults", nil, &out)
	return out, err
}

// RemoveFault takes a fault of the lab that runs in a folder away.
func RemoveFault(ctx context.Context, dir string, id int) error {
	return ask(ctx, dir, http.MethodDelete, "/faults/"+strconv.Itoa(id), nil, nil)
}

// RemoveFaults takes all faults away and says how many there were.
func RemoveFaults(ctx context.Context, dir string) (int, error) {
	n := 0
	err := ask(ctx, dir, http.MethodDelete, "/faults", nil, &n)
	return n, err
}
