package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skyweld/skyweld/store"
)

// The care loop looks after clusters between their runs: what it sees becomes conditions, and what a run could mend wakes
// one. It asks Kubernetes and machines, and no cloud. It changes nothing but its own part of the store.
const (
	// careAtOnce is how many clusters one engine looks at in the same moment; a look mostly waits.
	careAtOnce = 16
	// carePatience is how long one look may take, well below the pause between two.
	carePatience = 12 * time.Second
	// steady is how many looks in a row must say the same before a condition changes: of one packet that was lost, or one
	// kubelet that was slow, nobody is to hear.
	steady = 2
)

// careAgain is the pause before a run is woken for the same thing a second time. It doubles each time, up to the interval of
// scheduled runs: what those didn't mend others hardly will, and much mends itself or waits for something.
const careAgain = 5 * time.Minute

// care looks after the clusters that are due for that, until ctx is done. Which are is the store's to say: one engine looks
// at a cluster at a time.
func (e *Engine) care(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	busy := make(chan struct{}, careAtOnce)
	for ctx.Err() == nil {
		select {
		case busy <- struct{}{}:
			<-busy
		case <-ctx.Done():
			return
		}
		free := cap(busy) - len(busy)
		claims, err := e.store.ClaimCare(ctx, free, e.carePause)
		if err != nil && ctx.Err() == nil {
			e.log.Error("no cluster could be looked after", "err", err)
		}
		for _, claim := range claims {
			busy <- struct{}{}
			group.Go(func() {
				defer func() { <-busy }()
				e.lookAfter(ctx, claim, false)
			})
		}
		if len(claims) < free {
			e.restFromCare(ctx)
		}
	}
}

// carePause is how long it is until the next look at a cluster, give or take a tenth, so that looks spread.
func (e *Engine) carePause() time.Duration {
	return time.Duration(float64(e.patience.care) * (0.9 + 0.2*rand.Float64()))
}

func (e *Engine) restFromCare(ctx context.Context) {
	wait := 5 * time.Second // a new cluster, or one that another engine lets go
	if in, ok, err := e.store.CareDue(ctx); err == nil && ok {
		wait = min(wait, max(100*time.Millisecond, in))
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// lookAfter looks at a cluster once. While a run is on it doesn't: what is made anew is no trouble, and the run says itself
// how far it is. afterRun says that a run has just ended well, so that what looks good is.
func (e *Engine) lookAfter(ctx context.Context, claim store.CareClaim, afterRun bool) {
	ctx, cancel := context.WithTimeout(ctx, carePatience)
	defer cancel()
	c := claim.Current
	if !afterRun && c.Lease.Owner != "" && c.Lease.Until.After(claim.Now) {
		return
	}
	var m careMemory
	if len(claim.Memory) > 0 {
		if err := json.Unmarshal(claim.Memory, &m); err != nil {
			e.log.Warn("what is remembered of looks at a cluster can't be read, and is forgotten", "cluster", c.Name, "err", err)
			m = careMemory{}
		}
	}
	seen, err := e.see(ctx, claim, m)
	if err != nil {
		if ctx.Err() == nil {
			e.log.Warn("a cluster could not be looked after", "cluster", c.Name, "err", err)
		}
		return
	}
	m.Silent, m.Nodes = seen.silent, seen.nodes
	conditions, changed := m.judge(claim.Conditions, seen.verdicts, claim.Now, afterRun)
	ways, tell, mend := m.Paths.judge(c.Name, seen.paths, claim.Now)
	conditions = append(conditions, ways...)
	var wake []string
	if m.noteTrouble(seen.verdicts, conditions, mend, claim.Now, e.opts.Every); mayWake(c) && !afterRun {
		wake = m.wakeFor(claim.Now, e.opts.Every)
	}
	for _, v := range changed {
		kind := store.Normal
		if v.Status != conditionTrue {
			kind = store.Warning
		}
		tell = append(tell, told{kind, v.Reason, "cluster " + c.Name, v.Message})
	}
	e.keepCare(ctx, claim, conditions, tell, m, wake)
}

// mayWake says that a run is to be expected to do something about what is seen: the last one ended well, and nothing holds
// runs off. One that failed is tried again anyway, with pauses of its own.
func mayWake(c store.Cluster) bool { return c.Phase == store.Ready && c.Paused == nil }

// keepCare stores what came of a look, where that is new, and says so.
func (e *Engine) keepCare(ctx context.Context, claim store.CareClaim, conditions []store.Condition, tell []told, m careMemory, wake []string) {
	memory, err := json.Marshal(m)
	if err != nil {
		e.log.Error("what is seen of a cluster can't be stored", "cluster", claim.Current.Name, "err", err)
		return
	}
	if slices.Equal(conditions, claim.Conditions) && string(memory) == string(claim.Memory) {
		return
	}
	woken, err := e.store.SetCare(ctx, claim, conditions, memory, len(wake) > 0)
	if err != nil {
		if ctx.Err() == nil {
			e.log.Info("what is seen of a cluster was not stored", "cluster", claim.Current.Name, "err", err)
		}
		return
	}
	for _, t := range tell {
		e.event(ctx, claim.Cluster, t.kind, t.reason, t.object, t.message)
	}
	if woken {
		e.event(ctx, claim.Cluster, store.Normal, "RunWoken", "cluster "+claim.Current.Name, "a run is to mend "+strings.Join(wake, ", "))
	}
}

// confirm looks at a cluster whose run has just ended well, where its conditions say otherwise: whoever waited for the run
// must not be told of what it has mended.
func (e *Engine) confirm(ctx context.Context, c store.Cluster) {
	care, err := e.store.GetCare(ctx, c.UID)
	if err == nil && allGood(care.Conditions) {
		return
	}
	claim, err := e.store.ClaimCareOf(ctx, c.UID, e.carePause)
	if err != nil {
		e.log.Warn("a cluster could not be looked after", "cluster", c.Name, "err", err)
		return
	}
	e.lookAfter(ctx, claim, true)
}

func allGood(conditions []store.Condition) bool {
	return !slices.ContainsFunc(conditions, func(c store.Condition) bool { return !Well(c.Type, c.Status) })
}

// Well says that a condition of a type with a status is as it should be. Most say what is well; some what is wrong.
func Well(kind, status string) bool {
	return (status == conditionTrue) != (kind == farType || kind == tunnelDown)
}

// The values of a condition's status.
const (
	conditionTrue    = "True"
	conditionFalse   = "False"
	conditionUnknown = "Unknown"
)

// verdict is what one look says about one condition.
type verdict struct {
	kind, status, reason, message string
	// wrong are the things that a run could mend, in words.
	wrong []string
}

// careMemory is what is remembered from look to look, beside the conditions.
type careMemory struct {
	// Streaks are conditions that may be about to change, by type.
	Streaks map[string]streak `json:"streaks,omitempty"`
	// Trouble are things that were wrong lately.
	Trouble map[string]trouble `json:"trouble,omitempty"`
	// Silent are nodes that did not let the engine in at the last look.
	Silent []string `json:"silent,omitempty"`
	// Nodes is how many were Ready at the last look.
	Nodes NodeCount `json:"nodes,omitzero"`
	// Paths is what is remembered of the ways between sites.
	Paths pathMemory `json:"paths,omitzero"`
}

// streak is how many looks in a row said of a condition that it has another status.
type streak struct {
	Status string `json:"status"`
	Looks  int    `json:"looks"`
}

// trouble is one thing that is or was wrong.
type trouble struct {
	// Woken is how often a run was woken for it, Next when one may be again.
	Woken int       `json:"woken,omitempty"`
	Next  time.Time `json:"next,omitzero"`
	// Well is since when it isn't wrong any more.
	Well time.Time `json:"well,omitzero"`
}

// judge makes of what was known and what a look says the conditions that hold, and returns those whose status changed. Where
// trusting is set, what looks good is believed at once.
func (m *careMemory) judge(old []store.Condition, verdicts []verdict, now time.Time, trusting bool) (conditions, changed []store.Condition) {
	streaks := map[string]streak{}
	for _, v := range verdicts {
		next := store.Condition{Type: v.kind, Status: v.status, Reason: v.reason, Message: v.message, Since: now}
		i := slices.IndexFunc(old, func(c store.Condition) bool { return c.Type == v.kind })
		if i >= 0 && old[i].Status == v.status {
			next.Since = old[i].Since
			conditions = append(conditions, next)
			continue
		}
		s := m.Streaks[v.kind]
		if s.Status != v.status {
			s = streak{Status: v.status}
		}
		s.Looks++
		switch good := v.status == conditionTrue; {
		case s.Looks >= steady, good && (trusting || i < 0):
			conditions = append(conditions, next)
			if i >= 0 || !good {
				changed = append(changed, next)
			}
			continue
		case i >= 0:
			conditions = append(conditions, old[i])
		}
		streaks[v.kind] = s
	}
	m.Streaks = streaks
	return conditions, changed
}

// noteTrouble remembers what is wrong by conditions that hold, and what is to be mended in any case, and forgets what has been well for as long as the interval
// between two scheduled runs: what comes and goes must not wake a run each time.
func (m *careMemory) noteTrouble(verdicts []verdict, conditions []store.Condition, mend []string, now time.Time, every time.Duration) {
	all := map[string]trouble{}
	for _, what := range mend {
		t := m.Trouble[what]
		t.Well = time.Time{}
		all[what] = t
	}
	for _, v := range verdicts {
		holds := slices.ContainsFunc(conditions, func(c store.Condition) bool { return c.Type == v.kind && c.Status == v.status })
		for _, what := range v.wrong {
			if t, known := m.Trouble[what]; known || holds {
				t.Well = time.Time{}
				all[what] = t
			}
		}
	}
	for what, t := range m.Trouble {
		if _, still := all[what]; still {
			continue
		}
		if t.Well.IsZero() || t.Well.After(now) {
			t.Well = now
		}
		if now.Sub(t.Well) < every {
			all[what] = t
		}
	}
	m.Trouble = all
}

// wakeFor returns the things for which a run is to be woken now, none when there is no new trouble and it is too early to try
// the old again.
func (m *careMemory) wakeFor(now time.Time, every time.Duration) []string {
	var wrong []string
	due := false
	for _, what := range sortedKeys(m.Trouble) {
		t := m.Trouble[what]
		if !t.Well.IsZero() {
			continue
		}
		wrong = append(wrong, what)
		due = due || !t.Next.After(now) || t.Next.After(now.Add(every+careAgain)) // the clock was set back
	}
	if !due {
		return nil
	}
	for _, what := range wrong {
		t := m.Trouble[what]
		t.Next = now.Add(min(max(every, careAgain), careAgain<<min(t.Woken, 10)))
		t.Woken++
		m.Trouble[what] = t
	}
	return wrong
}

// firstFew joins what is wrong, the first few of it.
func firstFew(list []string) string {
	const most = 5
	if len(list) <= most {
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(list[:most], "; "), len(list)-most)
}
