package digitalocean

import (
	"strconv"

	"github.com/skyweld/skyweld/cloud"
)

// Marks are texts and tags that anybody may change who may change the thing. All lists but that of droplets are the whole
// account's, so what is on record is found in them without its mark; of droplets all are listed where one is missing.

// thing is what tells a thing of the account from all others.
type thing struct {
	kind cloud.Kind
	id   string
}

// recall notes what is on record.
func (s *snapshot) recall(known []cloud.Known) {
	s.known = map[thing]string{}
	for _, k := range known {
		s.known[thing{k.Kind, k.ID}] = k.Key
	}
}

// keyOf is the key of a thing: the one on record, or the one in its mark where that is the cluster's. The mark is good when
// both are the same, or nothing is on record.
func (s *snapshot) keyOf(kind cloud.Kind, id, cluster, marked string) (key string, good bool) {
	if cluster != s.cluster {
		marked = ""
	}
	if on, ok := s.known[thing{kind, id}]; ok {
		return on, on == marked
	}
	return marked, true
}

// lostDroplets says whether a droplet on record isn't among those that bear the cluster's tag: it lost that, or is gone.
func (s *snapshot) lostDroplets() bool {
	there := map[thing]bool{}
	for _, x := range s.droplets {
		there[thing{kindDroplet, strconv.Itoa(x.ID)}] = true
	}
	for t := range s.known {
		if t.kind == kindDroplet && !there[t] {
			return true
		}
	}
	return false
}
