package arm

import (
	"net/http"
	"time"
)

// securityGroup is a network security group.
type securityGroup struct {
	head
	Properties securityGroupProperties `json:"properties"`
}

type securityGroupProperties struct {
	ProvisioningState    string  `json:"provisioningState,omitempty"`
	ResourceGUID         string  `json:"resourceGuid,omitempty"`
	FlushConnection      bool    `json:"flushConnection,omitempty"`
	SecurityRules        []*rule `json:"securityRules"`
	DefaultSecurityRules []*rule `json:"defaultSecurityRules"`
	NetworkInterfaces    []ref   `json:"networkInterfaces,omitempty"`
	Subnets              []ref   `json:"subnets,omitempty"`
}

func (g *securityGroup) state() *string { return &g.Properties.ProvisioningState }

func (g *securityGroup) rule(name string) *rule { return named(g.Properties.SecurityRules, name) }

func (s *Service) securityGroupView(g *securityGroup) *securityGroup {
	v := clone(g)
	if v.Properties.SecurityRules == nil {
		v.Properties.SecurityRules = []*rule{}
	}
	v.Properties.DefaultSecurityRules = defaultRules(g)
	for _, n := range ordered(s.st.Interfaces) {
		if r := n.Properties.NetworkSecurityGroup; r != nil && key(r.ID) == key(g.ID) {
			v.Properties.NetworkInterfaces = append(v.Properties.NetworkInterfaces, ref{n.ID})
		}
	}
	for _, n := range ordered(s.st.Networks) {
		for _, sub := range n.Properties.Subnets {
			if r := sub.Properties.NetworkSecurityGroup; r != nil && key(r.ID) == key(g.ID) {
				v.Properties.Subnets = append(v.Properties.Subnets, ref{sub.ID})
			}
		}
	}
	return v
}

// putSecurityGroup makes or changes a security group; its list of rules is the whole.
func (s *Service) putSecurityGroup(c *call) (*answer, *apiError) {
	in, err := decode[securityGroup](c.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, status := s.st.SecurityGroups[key(c.id)], http.StatusOK
	var before record
	if old != nil {
		before = old
	}
	if err := s.admit(c, securityGroupType, &in.head, before); err != nil {
		return nil, err
	}
	if err := precondition(c, before); err != nil {
		return nil, err
	}
	if err := s.free(in.ID); err != nil {
		return nil, err
	}
	guid := newUUID()
	if old == nil {
		status = http.StatusCreated
		if err := s.checkQuota(in.Location, "NetworkSecurityGroups", 1); err != nil {
			return nil, err
		}
	} else {
		guid = old.Properties.ResourceGUID
	}
	rules := in.Properties.SecurityRules
	in.Properties = securityGroupProperties{ProvisioningState: stateUpdating, ResourceGUID: guid, FlushConnection: in.Properties.FlushConnection}
	for _, r := range rules {
		if err := admitRule(in, r); err != nil {
			return nil, err
		}
		if in.rule(r.Name) != nil {
			return nil, refuse(http.StatusBadRequest, "DuplicateResourceName", "Resource %s has two child resources with the same name (%s).", in.ID, r.Name)
		}
		in.Properties.SecurityRules = append(in.Properties.SecurityRules, r)
	}
	in.ETag = newETag()
	s.st.SecurityGroups[key(in.ID)] = in
	return s.writing(c, in, status, 3*time.Second, func() { settleRules(in) })
}

func settleRules(g *securityGroup) {
	for _, r := range g.Properties.SecurityRules {
		r.Properties.ProvisioningState = stateSucceeded
	}
}

func (s *Service) putRule(c *call) (*answer, *apiError) {
	in, err := decode[rule](c.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := wholeOf(c, s.st.SecurityGroups, c.id)
	if err != nil {
		return nil, err
	}
	if err := s.free(g.ID); err != nil {
		return nil, err
	}
	in.Name = lastName(c.id)
	old, status := g.rule(in.Name), http.StatusCreated
	kept := g.Properties.SecurityRules
	if old != nil {
		status, in.Name = http.StatusOK, old.Name
		dropRule(g, old.Name)
	}
	if err := admitRule(g, in); err != nil {
		g.Properties.SecurityRules = kept
		return nil, err
	}
	g.Properties.SecurityRules, g.ETag = append(g.Properties.SecurityRules, in), newETag()
	return s.writingPart(c, &g.head, status, func() any { return clone(in) }, func() { in.Properties.ProvisioningState = stateSucceeded })
}

func dropRule(g *securityGroup, name string) {
	g.Properties.SecurityRules, g.ETag = allBut(g.Properties.SecurityRules, name), newETag()
}

func (s *Service) getRule(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := wholeOf(c, s.st.SecurityGroups, c.id)
	if err != nil {
		return nil, err
	}
	r := g.rule(lastName(c.id))
	if r == nil {
		return nil, childNotFound(c.id)
	}
	a := shown(http.StatusOK, clone(r))
	a.header = http.Header{"Etag": {r.ETag}}
	return a, nil
}

func (s *Service) listRules(c *call) (*answer, *apiError) {
	return listParts(s, c, s.st.SecurityGroups, func(g *securityGroup) []*rule { return g.Properties.SecurityRules })
}

func (s *Service) deleteRule(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.st.SecurityGroups[key(parent(c.id))]
	if g == nil || g.rule(lastName(c.id)) == nil {
		return &answer{status: http.StatusNoContent}, nil
	}
	if err := s.free(g.ID); err != nil {
		return nil, err
	}
	dropRule(g, lastName(c.id))
	return s.writingPart(c, &g.head, http.StatusAccepted, nil, func() {})
}

func (s *Service) getDefaultRule(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := wholeOf(c, s.st.SecurityGroups, c.id)
	if err != nil {
		return nil, err
	}
	if r := named(defaultRules(g), lastName(c.id)); r != nil {
		return shown(http.StatusOK, r), nil
	}
	return nil, childNotFound(c.id)
}

func (s *Service) listDefaultRules(c *call) (*answer, *apiError) {
	return listParts(s, c, s.st.SecurityGroups, defaultRules)
}
