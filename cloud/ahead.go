package cloud

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Ahead collects what a driver finds out in one Preflight. It holds what the clouds have in common there, and asks nobody;
// its methods may be called from many goroutines.
type Ahead struct {
	PreflightRequest
	provider Provider
	keys     map[Kind][]string // of what is to be made

	mu    sync.Mutex
	found Findings
}

// LookAhead begins to collect what an account of a provider would make of a request.
func LookAhead(provider Provider, req PreflightRequest) *Ahead {
	a := &Ahead{PreflightRequest: req, provider: provider, keys: map[Kind][]string{}}
	for _, r := range req.Create {
		a.keys[r.Kind] = append(a.keys[r.Kind], r.Key)
	}
	return a
}

// Keys are those of the resources of some kinds that are to be made.
func (a *Ahead) Keys(kinds ...Kind) []string {
	var out []string
	for _, k := range kinds {
		out = append(out, a.keys[k]...)
	}
	return out
}

// Problem adds a problem; nil is none.
func (a *Ahead) Problem(p *Problem) {
	if p == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.found.Problems = append(a.found.Problems, *p)
}

// Note adds a sentence about what could not be looked at.
func (a *Ahead) Note(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.found.Notes = append(a.found.Notes, text)
}

// Pass notes that something ("looking up machine types") wasn't possible, by the cloud's error and what that was classified
// as. An error that isn't about this one question is given back: it ends the whole.
func (a *Ahead) Pass(what string, err error, e *Error) error {
	if err == nil {
		return nil
	}
	if e.Credentials || e.Class == Throttled || e.Class == Unavailable || e.Code == "" && e.Class != NotFound {
		return err
	}
	a.Note(fmt.Sprintf("%s was not possible: %s", what, e.Message))
	return nil
}

// Lacks adds the problem of something that the account isn't allowed ("permission ec2:RunInstances"), and that making some
// kinds needs.
func (a *Ahead) Lacks(region, subject, message, advice string, makes ...Kind) {
	a.Problem(&Problem{Class: Denied, Region: region, Subject: subject, Message: message, Advice: advice, Keys: a.Keys(makes...)})
}

// Findings are all that was found, in order.
func (a *Ahead) Findings() Findings {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.found.Sort()
	return a.found
}

// Limits is how the limits of a cloud are held against what is to be made.
type Limits struct {
	// Takes tells which limits a resource counts to, and how much, by the names that Read gives; casing doesn't matter. An
	// empty region stands for the whole account.
	Takes func(r Resource, add func(region, limit string, amount float64))
	// Read gives the limits of a region, or the account's for an empty one: those of the given names at least, as far as they
	// can be known. One below zero is none.
	Read func(region string, names []string) ([]Quota, error)
	// Pass is what to do where limits can't be read, as Ahead.Pass.
	Pass func(region string, err error) error
	// Subject is how a limit is called in a problem, Unit what it counts, Raise how a higher one is asked for, as OverQuota
	// takes it.
	Subject, Unit func(limit string) string
	Raise         func(region, limit string) string
}

// Limits holds all that is to be made, less what goes first, against the limits, and adds a problem for each that is too
// low.
func (a *Ahead) Limits(l Limits) error {
	type place struct{ region, limit string } // the limit in small letters
	need, keys := map[place]float64{}, map[place][]string{}
	for _, r := range a.Create {
		l.Takes(r, func(region, limit string, amount float64) {
			at := place{region, strings.ToLower(limit)}
			need[at] += amount
			keys[at] = append(keys[at], r.Key)
		})
	}
	for _, o := range a.Replaced {
		l.Takes(Resource{Key: o.Key, Kind: o.Kind, Region: o.Region, Spec: o.Spec}, func(region, limit string, amount float64) {
			need[place{region, strings.ToLower(limit)}] -= amount
		})
	}
	names := map[string][]string{}
	for _, at := range slices.SortedFunc(maps.Keys(need), func(a, b place) int {
		return cmp.Or(strings.Compare(a.region, b.region), strings.Compare(a.limit, b.limit))
	}) {
		if need[at] > 0 {
			names[at.region] = append(names[at.region], at.limit)
		}
	}
	for _, region := range slices.Sorted(maps.Keys(names)) {
		list, err := l.Read(region, names[region])
		if err != nil {
			if err := l.Pass(region, err); err != nil {
				return err
			}
			continue
		}
		for _, q := range list {
			at := place{region, strings.ToLower(q.Name)}
			if q.Limit >= 0 {
				a.Problem(OverQuota(region, l.Subject(q.Name), l.Unit(q.Name), l.Raise(region, q.Name), q.Limit, q.Used, need[at], slices.Compact(slices.Sorted(slices.Values(keys[at])))))
			}
		}
	}
	return nil
}
