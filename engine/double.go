package engine

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/plan"
)

// creations is the engine's memory of what it made since lists last showed all there is of a cluster. A call to make something can be
// carried out twice, on its way or by the cloud, and where the cloud knows neither token nor name for it there are two then,
// of which the answer tells of one. A look finds the other as soon as lists show it, which this explains. It is lost with the process: then
// the other is reported, and nothing worse.
type creations struct {
	mu sync.Mutex
	of map[string][]creation // by cluster
}

// creation is one call to make something that has ended well.
type creation struct {
	object       cloud.Object
	site         string
	began, ended time.Time
	// others were there under the key before.
	others []string
}

// doubleFor bounds how long a creation explains a double: another engine may look at the cluster from now on, or nobody.
const doubleFor = 24 * time.Hour

func (c *creations) add(cluster string, m creation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string][]creation{}
	}
	c.of[cluster] = append(c.of[cluster], m)
}

// explain says whether an object came of a call that was carried out twice.
func (c *creations) explain(cluster string, o cloud.Object) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.of[cluster], func(m creation) bool { return m.doubled(o) })
}

// doubled says that an object has the creation's key and kind, was not there before, and was made while the call went on.
// Of what the cloud doesn't say when it was made nothing can be told: it may be a copy that somebody made since, and is
// reported.
func (m creation) doubled(o cloud.Object) bool {
	if o.Key != m.object.Key || o.Kind != m.object.Kind || o.ID == m.object.ID || o.Created.IsZero() || slices.Contains(m.others, o.ID) || time.Since(m.ended) > doubleFor {
		return false
	}
	if o.Created.Before(m.began.Add(-clockSkew)) || o.Created.After(m.ended.Add(clockSkew)) {
		return false
	}
	// By the cloud's own clock the two are no further apart than the call took; it may count in seconds.
	apart, took := o.Created.Sub(m.object.Created).Abs(), m.ended.Sub(m.began)
	if o.Created.Nanosecond() == 0 && m.object.Created.Nanosecond() == 0 {
		took += time.Second
	}
	return m.object.Created.IsZero() || apart <= took
}

// looked forgets the creations of a cluster after which a look showed no double, once lists can't lag behind them any more.
// Where it couldn't look it forgets none.
func (c *creations) looked(s *survey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := slices.DeleteFunc(c.of[s.cluster.UID], func(m creation) bool {
		_, unknown := s.unknown[m.site]
		return !unknown && time.Since(m.ended) > s.e.patience.listLag && !slices.ContainsFunc(s.got, func(g plan.Observed) bool { return g.State != cloud.Gone && m.doubled(g.Object) })
	})
	if len(left) == 0 {
		delete(c.of, s.cluster.UID)
		return
	}
	c.of[s.cluster.UID] = left
}

// keep forgets the creations of all clusters but some.
func (c *creations) keep(uids map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.of, func(uid string, _ []creation) bool { return !uids[uid] })
}

// under are the ids of what a look showed under a key.
func (s *survey) under(key string) []string {
	var out []string
	for _, g := range s.got {
		if g.Key == key {
			out = append(out, g.ID)
		}
	}
	return out
}
