package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// read makes of a cluster file the complete spec, and finds the cluster it is about, if it exists. The error holds every
// problem of the file.
func (e *Engine) read(ctx context.Context, file []byte) (*spec.Cluster, *asked, error) {
	c, errs := spec.Read(file)
	if c == nil {
		return nil, nil, errs
	}
	if choice, ok := ctx.Value(onLatencyKey{}).(string); ok {
		c.Spec.Network.OnLatency = choice
	}
	var old *asked
	if c.Metadata.Name != "" {
		var err error
		if old, err = e.existing(ctx, c.Metadata.Name); err != nil {
			return nil, nil, err
		}
	}
	if old != nil && !old.DeleteRequested.IsZero() {
		return nil, nil, &Problem{Kind: NotNow, Message: fmt.Sprintf("cluster %s is being deleted: wait until it is gone, or choose another name", c.Metadata.Name)}
	}
	if old != nil {
		spec.Inherit(old.Spec, c)
	}
	far, err := e.distances(ctx)
	if err != nil {
		return nil, nil, err
	}
	found, later := e.places(ctx, c, far)
	placeMembers(c, found, far)
	rules, err := e.blockRules(ctx, c, old)
	if err != nil {
		return nil, nil, err
	}
	unknown := e.chooseBlocks(hurried(ctx), c, rules, len(errs) == 0)
	spec.Default(c)
	for i, p := range found {
		found[i].site = c.Spec.Sites[p.at]
	}
	later = append(spec.Validate(c), later...)
	later = append(later, tooFar(c, old, found, far)...)
	if taken := forbidden(c, rules); len(taken) > 0 {
		later = append(later, taken...)
	} else {
		later = append(later, e.sizes(ctx, c, found)...)
	}
	if old != nil {
		later = append(later, spec.Immutable(old.Spec, c)...)
	}
	if errs = errs.With(spec.Locate(file, later)); len(errs) > 0 {
		return nil, nil, errs
	}
	if unknown != nil {
		return nil, nil, unknown
	}
	return c, old, e.installable()
}

// installable is the problem of an engine that has nothing to install on machines, nil otherwise. It is asked before
// anything is made.
func (e *Engine) installable() error {
	if e.opts.Bundle.URL != "" {
		return nil
	}
	return &Problem{Kind: NotNow, Message: "this engine was started without --bundle, so there is nothing to install on machines: start it with --bundle and " +
		"--bundle-sha256, the URL and the SHA-256 of a manifest of node programs ('skyweld lab env' sets both for the lab)"}
}

// placed is a site whose account and region are known.
type placed struct {
	site  spec.Site
	place geo.Place
	at    int // its number in the file
}

// places checks what a file says of accounts, metros and regions, and fills in the regions that it leaves open. It returns the
// sites where nothing is wrong with that.
func (e *Engine) places(ctx context.Context, c *spec.Cluster, far distances) (found []placed, errs spec.Errors) {
	clouds := make([]string, len(c.Spec.Sites)) // empty where the account isn't known
	for i, s := range c.Spec.Sites {
		if s.Account == "" {
			continue // Validate has said so
		}
		at := fmt.Sprintf("spec.sites[%d].account", i)
		account, err := e.store.GetAccount(ctx, s.Account)
		switch {
		case errors.Is(err, store.ErrNotFound):
			errs = append(errs, spec.Error{Path: at, Value: fmt.Sprintf("%q", s.Account), Message: "no account has this name; " + e.knownAccounts(ctx, s.Account)})
		case err != nil:
			errs = append(errs, spec.Error{Path: at, Message: err.Error()})
		default:
			clouds[i] = string(account.Provider)
		}
	}
	for i, s := range c.Spec.Sites {
		if _, ok := geo.Region(clouds[i], s.Region); clouds[i] != "" && s.Region != "" && !ok {
			errs = append(errs, spec.Error{Path: fmt.Sprintf("spec.sites[%d].region", i), Value: fmt.Sprintf("%q", s.Region),
				Message: fmt.Sprintf("%s has no such region; want one of %s", clouds[i], strings.Join(regionNames(clouds[i]), ", "))})
		}
	}
	errs = append(errs, chooseRegions(c, clouds, far)...)
	for i, s := range c.Spec.Sites {
		if place, ok := geo.Region(clouds[i], s.Region); ok {
			found = append(found, placed{s, place, i})
		}
	}
	return found, errs
}

func noMetro(metro, provider, site string) spec.Error {
	e := spec.Error{Path: "spec.metro", Value: fmt.Sprintf("%q", metro)}
	if _, known := geo.Metro(metro); !known {
		e.Message = "there is no such metro; want one of " + strings.Join(geo.Metros(provider), ", ") + spec.DidYouMean(metro, geo.Metros(provider))
	} else {
		e.Message = fmt.Sprintf("%s has no region there for site %s; want one of %s, or name the site's region", provider, site, strings.Join(geo.Metros(provider), ", "))
	}
	return e
}

// sizes are the problems of machine sizes that a site's cloud will not take, or that are no good for a role. The cloud's
// driver is asked with one machine of each group and site; it asks nobody.
func (e *Engine) sizes(ctx context.Context, c *spec.Cluster, sites []placed) spec.Errors {
	var errs spec.Errors
	for _, p := range sites {
		if !p.site.Block.IsValid() || cloud.CheckKey(p.site.Name) != nil || p.place.ID == "" {
			continue // Validate has said so
		}
		_, driver, err := e.driver(ctx, p.site.Account)
		if err != nil {
			errs = append(errs, spec.Error{Path: "spec.sites", Message: fmt.Sprintf("site %s: %s", p.site.Name, err)})
			continue
		}
		check := func(path, name, size string, role cloud.Role) {
			err := fits(driver, c, p, cloud.Machine{Name: name, Role: role, Size: size})
			if err == nil {
				err = cloud.CheckSize(cloud.Provider(p.place.Cloud), size, role)
			}
			if err != nil {
				errs = append(errs, spec.Error{Path: path, Value: fmt.Sprintf("%q", size), Message: fmt.Sprintf("%s for site %s", err, p.site.Name)})
			}
		}
		if slices.Contains(c.Spec.ControlPlane.Sites, p.site.Name) {
			check("spec.controlPlane.size", string(cloud.ControlPlane), c.Spec.ControlPlane.Size, cloud.ControlPlane)
		}
		for i, w := range c.Spec.Workers {
			if w.Site == p.site.Name {
				check(fmt.Sprintf("spec.workers[%d].size", i), w.Name, w.Size, cloud.Worker)
			}
		}
	}
	return errs
}

// fits asks a driver whether a machine can be laid out, and returns what it says against that.
func fits(driver cloud.Driver, c *spec.Cluster, p placed, m cloud.Machine) error {
	m.Zone, m.Address, m.DiskGiB = zonesOf(p.place)[0], p.site.Block.Addr(), diskGiB
	for range 20 { // past what clouds keep to themselves
		m.Address = m.Address.Next()
	}
	_, err := driver.Blueprint(cloud.Owner{UID: strings.Repeat("0", 16), Name: c.Metadata.Name}, cloud.Site{
		Name: p.site.Name, Region: p.site.Region, Zones: zonesOf(p.place), Block: p.site.Block, Pods: c.Spec.Network.Pods,
		TunnelPort: mesh.DefaultPort, Machines: []cloud.Machine{m},
	})
	if ce, ok := errors.AsType[*cloud.Error](err); ok && ce.Err != nil {
		err = ce.Err
	}
	if err == nil {
		return nil
	}
	text := strings.TrimPrefix(err.Error(), fmt.Sprintf("machine %s: ", m.Name))
	return errors.New(strings.TrimPrefix(text, fmt.Sprintf("size %q: ", m.Size)))
}

// knownAccounts lists the accounts, for who named one that isn't there.
func (e *Engine) knownAccounts(ctx context.Context, name string) string {
	const add = "add one with 'skyweld account add'"
	all, err := e.store.ListAccounts(ctx)
	if err != nil {
		return add
	}
	var names []string
	for _, a := range all {
		names = append(names, a.Name)
	}
	return thereAre(names) + spec.DidYouMean(name, names) + "; " + add
}

// thereAre lists what there is, for who named something that isn't.
func thereAre(names []string) string {
	switch len(names) {
	case 0:
		return "there are none"
	case 1:
		return "there is " + names[0]
	}
	return "there are " + strings.Join(names, ", ")
}

func regionNames(provider string) []string {
	var names []string
	for _, r := range geo.Regions(provider) {
		names = append(names, r.ID)
	}
	return names
}
