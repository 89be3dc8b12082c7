package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
)

// refusal is one thing that would keep an account from carrying out a plan.
type refusal struct {
	account string
	sites   []string
	// fields are those of the cluster file that ask for the machine type in question, each with what was found in it.
	fields []string
	cloud.Problem
}

// Refused is a plan that isn't begun, because the accounts would refuse parts of it. It holds every problem of all sites.
type Refused struct{ problems []refusal }

func (r *Refused) Error() string {
	lines := []string{"nothing was begun, because the accounts would refuse it:"}
	for _, p := range r.problems {
		where := fmt.Sprintf("site %s (account %s", strings.Join(p.sites, ", "), p.account)
		if p.Region != "" {
			where += ", " + p.Region
		}
		where += "): "
		if len(p.fields) > 0 {
			where += strings.Join(p.fields, ", ") + ": "
		}
		lines = append(lines, "  "+where+p.Problem.String())
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each problem as an error of a cloud, with its class.
func (r *Refused) Unwrap() []error {
	var out []error
	for _, p := range r.problems {
		out = append(out, &cloud.Error{Class: p.Class, Op: "look ahead in account " + p.account, Message: p.Problem.String()})
	}
	return out
}

// Problems are the problems with the names of their sites, for who shows them one by one.
func (r *Refused) Problems() []cloud.Problem {
	var out []cloud.Problem
	for _, p := range r.problems {
		out = append(out, p.Problem)
	}
	return out
}

// preflight asks the accounts whether they would take what the plan makes anew. It asks only where there is something to
// make, each account once. That an account can't be asked is a note: the steps themselves will tell.
func (s *survey) preflight(ctx context.Context) error {
	requests := s.preflightRequests()
	accounts := sortedKeys(requests)
	found := make([]cloud.Findings, len(accounts))
	failed := make([]error, len(accounts))
	var group errgroup.Group
	for i, name := range accounts {
		group.Go(func() error {
			found[i], failed[i] = retryBriefly(ctx, s.e.patience, func(ctx context.Context) (cloud.Findings, error) {
				return requests[name].driver.Preflight(ctx, requests[name].PreflightRequest)
			})
			return nil
		})
	}
	if err := errors.Join(group.Wait(), ctx.Err()); err != nil {
		return err
	}
	var refused Refused
	for i, name := range accounts {
		if failed[i] != nil {
			s.note("what account %s would refuse could not be found out in advance: %s", name, failed[i])
			continue
		}
		for _, n := range found[i].Notes {
			s.note("account %s: %s", name, n)
		}
		for _, p := range found[i].Problems {
			create := requests[name].Create
			refused.problems = append(refused.problems, refusal{name, s.sitesOf(name, p, create), s.fieldsOf(p, create), p})
		}
	}
	if len(refused.problems) > 0 {
		s.refused = &refused
	}
	return nil
}

func (s *survey) note(format string, args ...any) {
	s.graph.Notes = append(s.graph.Notes, s.scrubber.clean(fmt.Sprintf(format, args...)))
}

// cannot is why a plan can't be carried out as a whole: sites that could not be observed, and what the accounts would
// refuse; nil when nothing is in its way.
func (s *survey) cannot() error {
	if s.refused == nil {
		return s.unknownErr()
	}
	return errors.Join(s.unknownErr(), s.refused)
}

// accountRequest is what a plan needs of one account.
type accountRequest struct {
	driver cloud.Driver
	cloud.PreflightRequest
}

func (s *survey) preflightRequests() map[string]*accountRequest {
	out := map[string]*accountRequest{}
	roles := map[string]cloud.Role{}
	for _, n := range s.nodes {
		roles[n.Name] = cloud.Role(n.Role)
	}
	of := func(site string) *accountRequest {
		st := s.sites[site]
		if out[st.account.Name] == nil {
			out[st.account.Name] = &accountRequest{driver: st.driver, PreflightRequest: cloud.PreflightRequest{Owner: s.owner, Roles: roles}}
		}
		return out[st.account.Name]
	}
	made := map[string]bool{}
	for _, step := range s.graph.Steps {
		if step.Kind != plan.NodeKind && step.Want != nil && (step.Action == plan.Create || step.Action == plan.Replace) {
			of(step.Site).Create = append(of(step.Site).Create, *step.Want)
			made[step.Key] = true
		}
	}
	for _, step := range s.graph.Steps {
		if step.Got != nil && made[step.Key] && (step.Action == plan.Replace || step.Action == plan.Delete) {
			of(step.Site).Replaced = append(of(step.Site).Replaced, *step.Got)
		}
	}
	return out
}

// sitesOf names the sites that a problem of an account is about: those of its resources, else all of the account's that
// something is made for.
func (s *survey) sitesOf(account string, p cloud.Problem, create []cloud.Resource) []string {
	var out []string
	for _, r := range create {
		if s.account(r.Site) == account && (len(p.Keys) == 0 || slices.Contains(p.Keys, r.Key)) && !slices.Contains(out, r.Site) {
			out = append(out, r.Site)
		}
	}
	slices.Sort(out)
	return out
}

// fieldsOf are the fields of the cluster file that a problem with a machine type comes from, with what was found in each.
func (s *survey) fieldsOf(p cloud.Problem, create []cloud.Resource) []string {
	if p.MachineType == "" {
		return nil
	}
	machines := map[string]bool{}
	for _, r := range create {
		if slices.Contains(p.Keys, r.Key) {
			machines[r.Machine] = true
		}
	}
	var out []string
	for _, n := range s.nodes {
		if !machines[n.Name] {
			continue
		}
		field := "spec.controlPlane.size"
		if i := slices.IndexFunc(s.spec.Spec.Workers, func(w spec.Workers) bool { return w.Name == n.Group }); i >= 0 {
			field = fmt.Sprintf("spec.workers[%d].size", i)
		}
		if text := fmt.Sprintf("%s: found %q", field, n.Size); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}
