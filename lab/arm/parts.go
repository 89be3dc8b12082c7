package arm

import (
	"net/http"
	"strings"
	"time"
)

// part is what is kept within another resource: a subnet in its network, a rule in its security group, a route in its table.
type part interface {
	partName() string
}

func (s *subnet) partName() string    { return s.Name }
func (r *rule) partName() string      { return r.Name }
func (r *userRoute) partName() string { return r.Name }

// named is the part with a name, in whatever casing; nil when there is none.
func named[P part](parts []P, name string) P {
	for _, p := range parts {
		if strings.EqualFold(p.partName(), name) {
			return p
		}
	}
	var none P
	return none
}

// allBut are the parts but one, in a list of their own; nil when none is left.
func allBut[P part](parts []P, name string) []P {
	var left []P
	for _, p := range parts {
		if !strings.EqualFold(p.partName(), name) {
			left = append(left, p)
		}
	}
	return left
}

// wholeOf finds the resource of a call about one of its parts.
func wholeOf[T any](c *call, all map[string]*T, id string) (*T, *apiError) {
	whole := all[key(parent(id))]
	switch {
	case whole != nil:
		return whole, nil
	case c.r.Method == http.MethodPut:
		return nil, parentNotFound(id)
	}
	return nil, resourceNotFound(parent(id))
}

// listParts answers with all parts of a resource.
func listParts[T any, P any](s *Service, c *call, all map[string]*T, parts func(*T) []*P) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	whole, err := wholeOf(c, all, c.id+"/x")
	if err != nil {
		return nil, err
	}
	var out []any
	for _, p := range parts(whole) {
		out = append(out, clone(p))
	}
	return s.page(c, out)
}

// writingPart begins the operation of a call that changes one part of a resource. The caller holds the lock and has made the
// change; ended is told when the operation ends.
func (s *Service) writingPart(c *call, whole *head, status int, show func() any, ended func()) (*answer, *apiError) {
	j := job{family: networkFamily, location: whole.Location, target: whole.ID, took: 2 * time.Second, ended: func(*apiError) { ended() }}
	if c.r.Method == http.MethodDelete {
		j.part = c.id
	}
	op, err := s.begin(j)
	if err != nil {
		return nil, err
	}
	return s.accepted(c, status, op, show), nil
}
