package azure

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"

	"github.com/skyweld/skyweld/cloud"
)

// Check asks for the subscription, which regions it has, whether the resource providers are registered, what we may do,
// and the quotas of the given regions. With none given the quotas are left out: asking fifty regions takes long.
func (d *Driver) Check(ctx context.Context, regions ...string) (cloud.Report, error) {
	rep, err := d.check(ctx, regions)
	return rep, failed("check the azure subscription "+d.subscription, err)
}

func (d *Driver) check(ctx context.Context, regions []string) (cloud.Report, error) {
	who, err := d.login.identity(ctx)
	if err != nil {
		return cloud.Report{}, err
	}
	sub, err := d.subscriptions.Get(ctx, d.subscription, nil)
	if err != nil {
		return cloud.Report{}, err
	}
	if state := val(sub.State); state != armsubscriptions.SubscriptionStateEnabled && state != armsubscriptions.SubscriptionStateWarned {
		return cloud.Report{}, &cloud.Error{
			Class: cloud.Denied, Code: string(state), Message: "the subscription " + d.subscription + " is " + strings.ToLower(string(state)) + ": nothing can be made in it",
		}
	}
	rep := cloud.Report{Identity: who, Account: d.subscription}
	if rep.Regions, err = d.regions(ctx); err != nil {
		return cloud.Report{}, err
	}
	for _, region := range regions {
		if !slices.Contains(rep.Regions, region) {
			return cloud.Report{}, d.noRegion(region, rep.Regions)
		}
		list, err := d.quotas(ctx, region)
		if err != nil && !isClass(err, cloud.Denied) {
			return cloud.Report{}, err
		}
		for _, q := range list {
			if slices.Contains(limiting, q.Name) {
				rep.Quotas = append(rep.Quotas, q)
			}
		}
	}
	rep.Missing, err = d.missing(ctx, rep.Regions[0])
	return rep, err
}

// regions are the names of the places where things can be made, sorted: others ("unitedstates") stand for several.
func (d *Driver) regions(ctx context.Context) ([]string, error) {
	list, err := d.listLocations(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range list {
		if l.Metadata == nil || l.Metadata.RegionType == nil || *l.Metadata.RegionType == armsubscriptions.RegionTypePhysical {
			out = append(out, val(l.Name))
		}
	}
	if len(out) == 0 {
		return nil, &cloud.Error{Class: cloud.Unavailable, Message: "the subscription has no region"}
	}
	slices.Sort(out)
	return out, nil
}

// noRegion is the error of a region that the subscription doesn't have.
func (d *Driver) noRegion(region string, have []string) error {
	return &cloud.Error{Class: cloud.Invalid, NoRegion: true, Message: "subscription " + d.subscription + " doesn't have the region " + region + "; it has " +
		strings.Join(have, ", ") + ": use one of these"}
}

// probesAtOnce is how many permissions are tried at the same time.
const probesAtOnce = 5

// missing looks for permissions that the driver's calls need, and for resource providers that aren't registered.
func (d *Driver) missing(ctx context.Context, region string) ([]cloud.Missing, error) {
	lacking, err := d.lacking(ctx, region, func(probe) bool { return true })
	if err != nil {
		return nil, err
	}
	spaces, err := d.unregistered(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range spaces {
		lacking = append(lacking, cloud.Missing{
			Action: s + "/register/action", Advice: "the subscription isn't registered for " + s + ": az provider register --namespace " + s,
		})
	}
	return lacking, nil
}

// lacking tries those probes that are wanted, in a group that doesn't exist.
func (d *Driver) lacking(ctx context.Context, region string, wanted func(probe) bool) ([]cloud.Missing, error) {
	var random [8]byte
	rand.Read(random[:]) // never fails
	absent := "skyweld-check-" + hex.EncodeToString(random[:])
	var list []probe
	for _, p := range d.probes(ctx, region, absent) {
		if wanted(p) {
			list = append(list, p)
		}
	}
	g, _ := errgroup.WithContext(ctx)
	g.SetLimit(probesAtOnce)
	found := make([]*cloud.Missing, len(list))
	for i, p := range list {
		g.Go(func() error {
			err := p.call()
			if err == nil {
				return nil
			}
			if e := classify(err); lacksPermission(e) {
				action := p.action
				if e.Action != "" {
					action = e.Action
				}
				found[i] = &cloud.Missing{Action: action, Detail: e.Message}
				return nil
			}
			return notAnswered(err)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []cloud.Missing
	for _, m := range found {
		if m != nil && !slices.ContainsFunc(out, func(o cloud.Missing) bool { return o.Action == m.Action }) {
			out = append(out, *m)
		}
	}
	return out, nil
}

// lacksPermission tells a missing permission from other refusals: credentials that aren't good, a provider that isn't
// registered, a policy.
func lacksPermission(e *cloud.Error) bool {
	return contains([]string{"AuthorizationFailed", "LinkedAuthorizationFailed", "DenyAssignmentAuthorizationFailed"}, e.Code)
}

// notAnswered returns the errors of a probe that say nothing about the permission.
func notAnswered(err error) error {
	if err == nil {
		return nil
	}
	switch e := classify(err); {
	case e.Credentials, e.Code == "" && e.Class != cloud.NotFound, e.Class == cloud.Throttled, e.Class == cloud.Unavailable:
		return err
	}
	return nil
}

// namespaces are the resource providers of what the driver makes.
var namespaces = []string{"Microsoft.Compute", "Microsoft.Network"}

// unregistered lists the resource providers that somebody has to switch on first. Where we may not ask, nothing is known.
func (d *Driver) unregistered(ctx context.Context) ([]string, error) {
	var out []string
	for _, n := range namespaces {
		p, err := d.providers.Get(ctx, n, nil)
		if err != nil {
			if err := notAnswered(err); err != nil {
				return nil, err
			}
			continue
		}
		if state := val(p.RegistrationState); !strings.EqualFold(state, "Registered") && !strings.EqualFold(state, "Registering") {
			out = append(out, n)
		}
	}
	return out, nil
}
