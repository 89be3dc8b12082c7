package fault

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	chance "math/rand/v2"
	"slices"
	"sync"
	"time"
)

// maxRules bounds a set: more is a script gone wild.
const maxRules = 1000

// Set is the rules of one lab. Its methods are safe for concurrent use. It is kept in memory only.
type Set struct {
	clock func() time.Time

	mu    sync.Mutex
	last  int
	rules []*entry
	// changed is closed and replaced when a rule comes, goes or is over.
	changed chan struct{}
}

type entry struct {
	Rule
	row  *chance.Rand
	seen int            // how many matched
	old  map[string]old // of a list-lag: answers by request
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{clock: time.Now, changed: make(chan struct{})} }

// Add puts a rule into force and returns it with its id, and its seed where it is one of chance.
func (s *Set) Add(r Rule) (Rule, error) {
	if err := r.Check(); err != nil {
		return Rule{}, err
	}
	if r.Rate > 0 && r.Seed == 0 {
		var b [8]byte
		rand.Read(b[:]) // never fails
		r.Seed = binary.BigEndian.Uint64(b[:])>>32 + 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rules) >= maxRules {
		return Rule{}, fmt.Errorf("there are %d faults already: remove some first", maxRules)
	}
	s.last++
	r.ID, r.Began, r.Hits, r.Over = s.last, s.clock(), 0, false
	s.rules = append(s.rules, &entry{Rule: r, row: chance.New(chance.NewPCG(r.Seed, 0))})
	s.notify()
	if r.For > 0 {
		time.AfterFunc(time.Duration(r.For), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.notify()
		})
	}
	return r, nil
}

// List returns all rules, in their order; those that are over too.
func (s *Set) List() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Rule, 0, len(s.rules))
	for _, e := range s.rules {
		r := e.Rule
		r.Over = s.over(e)
		out = append(out, r)
	}
	return out
}

// Remove takes a rule away and says whether there was one.
func (s *Set) Remove(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.rules)
	s.rules = slices.DeleteFunc(s.rules, func(e *entry) bool { return e.ID == id })
	s.notify()
	return len(s.rules) < before
}

// Clear takes all rules away and says how many there were.
func (s *Set) Clear() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.rules)
	s.rules = nil
	s.notify()
	return n
}

// Holds says whether what a rule did lasts: it is neither removed nor past its time, however often it has struck.
func (s *Set) Holds(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := slices.IndexFunc(s.rules, func(e *entry) bool { return e.ID == id })
	return n >= 0 && !s.past(s.rules[n])
}

// Denies says whether a rule that strikes always takes the permission for an action away, without counting that as a
// strike: for answers to who asks what is permitted.
func (s *Set) Denies(cloud, action string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.rules, func(e *entry) bool {
		return e.Kind == Deny && e.Rate == 0 && e.seen >= e.After && !s.over(e) && e.about(cloud, Request{Action: action, Region: e.Region})
	})
}

// Changed returns a channel that closes at the next change of what is in force.
func (s *Set) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// notify tells those who wait for a change. The caller holds the lock.
func (s *Set) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// over says whether a rule strikes no more. The caller holds the lock.
func (s *Set) over(e *entry) bool {
	return e.Times > 0 && e.Hits >= e.Times || s.past(e)
}

// past says whether a rule's time has passed. The caller holds the lock.
func (s *Set) past(e *entry) bool {
	return e.For > 0 && s.clock().Sub(e.Began) >= time.Duration(e.For)
}

// strike says whether a rule that matches strikes this time, and counts it. The caller holds the lock.
func (s *Set) strike(e *entry) bool {
	if s.over(e) {
		return false
	}
	if e.seen++; e.seen <= e.After || e.Rate > 0 && e.row.Float64() >= e.Rate {
		return false
	}
	e.Hits++
	return true
}

// permits says whether a kind means anything to a request: one that only asks for permission uses nothing up.
func permits(k Kind, what Request) bool {
	return !what.DryRun || k != Quota && k != Capacity
}

// hit returns the rule that strikes a request, if any. Rules in skip have had their turn.
func (s *Set) hit(cloud string, what Request, skip []int) (Rule, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.rules {
		if !slices.Contains(skip, e.ID) && e.about(cloud, what) && permits(e.Kind, what) && s.strike(e) {
			return e.Rule, true
		}
	}
	return Rule{}, false
}

// missed takes back a strike that meant nothing to the cloud.
func (s *Set) missed(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.rules {
		if e.ID == id {
			e.Hits--
		}
	}
}

// Down says whether a whole cloud is.
func (s *Set) Down(cloud string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.rules, func(e *entry) bool {
		return e.Cloud == cloud && e.Kind == Down && e.Region == "" && !s.over(e)
	})
}

// Cut says whether a cloud's networks in a region are cut off from all others.
func (s *Set) Cut(cloud, region string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.rules, func(e *entry) bool {
		return e.Cloud == cloud && e.Kind == CutOff && (e.Region == "" || e.Region == region) && !s.over(e)
	})
}

// Farther is how much longer round trips take between a cloud's networks in a region and all others.
func (s *Set) Farther(cloud, region string) (longer time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.rules {
		if e.Cloud == cloud && e.Kind == Far && (e.Region == "" || e.Region == region) && !s.over(e) {
			longer += time.Duration(e.Delay)
		}
	}
	return longer
}

// Machine returns the rules that strike a machine which is about to boot. Names are all it goes by, its id first.
func (s *Set) Machine(cloud string, names ...string) []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Rule
	for _, e := range s.rules {
		if e.aboutMachine(cloud, names) && s.strike(e) {
			out = append(out, e.Rule)
		}
	}
	return out
}
