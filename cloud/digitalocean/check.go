package digitalocean

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
)

// Check asks for the account, which regions it may use, what the token may do and how many droplets, reserved addresses and
// volumes the account may have. All of that is the account's, in no region.
func (d *Driver) Check(ctx context.Context, regions ...string) (cloud.Report, error) {
	rep, err := d.check(ctx, regions)
	return rep, failed("check the digitalocean account", err)
}

func (d *Driver) check(ctx context.Context, regions []string) (cloud.Report, error) {
	a, _, err := d.api.Account.Get(ctx)
	if err != nil {
		return cloud.Report{}, err
	}
	rep := cloud.Report{Identity: a.Email, Account: a.UUID}
	if a.Team != nil && a.Team.UUID != "" {
		rep.Account = a.Team.UUID
	}
	if a.Status == "locked" {
		return cloud.Report{}, &cloud.Error{Class: cloud.Denied, Code: a.Status, Message: "the account is locked: " + a.StatusMessage}
	}
	if rep.Regions, err = d.regions(ctx); err != nil {
		return cloud.Report{}, err
	}
	for _, name := range regions {
		if !slices.Contains(rep.Regions, name) {
			return cloud.Report{}, noRegion(name, rep.Regions)
		}
	}
	if rep.Missing, err = d.missing(ctx); err != nil {
		return cloud.Report{}, err
	}
	for _, l := range accountLimits {
		q := cloud.Quota{Name: l.name, Limit: float64(l.of(a)), Used: -1}
		if n, err := l.used(ctx, d); err == nil {
			q.Used = float64(n)
		} else if !isClass(err, cloud.Denied) {
			return cloud.Report{}, err
		}
		rep.Quotas = append(rep.Quotas, q)
	}
	return rep, nil
}

// regions are the names of the regions in which the account may make something, sorted.
func (d *Driver) regions(ctx context.Context) ([]string, error) {
	all, err := d.listRegions(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range all {
		if r.Available {
			names = append(names, r.Slug)
		}
	}
	slices.Sort(names)
	return names, nil
}

// noRegion is the error of a region that the account doesn't have.
func noRegion(region string, have []string) error {
	return &cloud.Error{Class: cloud.Invalid, NoRegion: true, Message: "the account can't use the region " + region + "; it has " +
		strings.Join(have, ", ") + ": use one of these"}
}

// missing tries all scopes that the driver's calls need.
func (d *Driver) missing(ctx context.Context) ([]cloud.Missing, error) {
	return d.try(ctx, d.probes(randomWord()))
}

// probesAtOnce is how many scopes are tried at the same time.
const probesAtOnce = 4

// try returns the scopes that a token lacks of those that probes need.
func (d *Driver) try(ctx context.Context, all []probe) ([]cloud.Missing, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(probesAtOnce)
	details := make([]string, len(all))
	for i, p := range all {
		g.Go(func() error {
			err := p.call(ctx)
			if e := classifyOrNil(err); e != nil && e.Class == cloud.Denied && !e.Credentials {
				details[i] = e.Message
				return nil
			}
			return notAnswered(err)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, during("try what the token may do", err)
	}
	var out []cloud.Missing
	for i, p := range all {
		if details[i] != "" {
			out = append(out, cloud.Missing{Action: p.scope, Detail: details[i]})
		}
	}
	return out, nil
}

func classifyOrNil(err error) *cloud.Error {
	if err == nil {
		return nil
	}
	return classify(err)
}

// notAnswered returns the errors of a probe that say nothing about the scope.
func notAnswered(err error) error {
	switch e := classifyOrNil(err); {
	case e == nil:
		return nil
	case e.Code == "", e.Class == cloud.Throttled, e.Class == cloud.Unavailable, e.Class == cloud.Denied:
		return err
	}
	return nil
}
