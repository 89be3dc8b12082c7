package azure

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"

	"github.com/skyweld/skyweld/cloud"
)

// With the first virtual network in a region, Azure makes a Network Watcher there by itself, in a group of that name, and
// never removes it. To leave the account as it was, each of our groups remembers in a tag what was there before; and the
// last one to go takes away what wasn't, unless somebody else uses it.
const (
	tagWatcher   = "skyweld-network-watcher"
	watcherGroup = "networkwatcherrg"
)

// The values of the tag.
const (
	watcherPresent = "present"          // not ours to remove
	watcherAbsent  = "absent-in-region" // others were in the group
	watcherNone    = "absent"           // nor was there a group
)

// watcherOrigin finds out what is there before the first network of a site. Where another of our groups in the region has
// found nothing, what is there now has come with that. Where we may not look, nothing is ours to remove.
func (d *Driver) watcherOrigin(ctx context.Context, region string) (string, error) {
	watchers, err := d.listWatchers(ctx)
	if isClass(err, cloud.Denied) && !classify(err).Credentials {
		return watcherPresent, nil
	}
	if err != nil {
		return "", err
	}
	groups, err := d.listGroups(ctx, "")
	if err != nil {
		return "", err
	}
	absent, groupAbsent := true, true
	for _, w := range watchers {
		absent = absent && !sameRegion(val(w.Location), region)
	}
	for _, g := range groups {
		groupAbsent = groupAbsent && !strings.EqualFold(val(g.Name), watcherGroup)
	}
	for _, g := range groups {
		switch tagOf(g.Tags, tagWatcher) {
		case watcherNone:
			groupAbsent, absent = true, absent || sameRegion(val(g.Location), region)
		case watcherAbsent:
			absent = absent || sameRegion(val(g.Location), region)
		}
	}
	switch {
	case !absent:
		return watcherPresent, nil
	case !groupAbsent:
		return watcherAbsent, nil
	}
	return watcherNone, nil
}

// removeWatcher takes away the region's watcher, and the group when it is empty then, where neither was there before us and
// nobody uses it. Not being allowed to is no reason to keep the rest: docs/accounts/azure.md says what stays then.
func (d *Driver) removeWatcher(ctx context.Context, region, origin string) error {
	if origin != watcherNone && origin != watcherAbsent {
		return nil
	}
	err := d.takeWatcher(ctx, region)
	if err == nil && origin == watcherNone {
		err = d.takeWatcherGroup(ctx)
	}
	if isClass(err, cloud.Denied) && !classify(err).Credentials {
		return nil
	}
	return err
}

func (d *Driver) takeWatcher(ctx context.Context, region string) error {
	networks, err := d.listNetworks(ctx)
	if err != nil {
		return err
	}
	for _, n := range networks {
		if !sameRegion(val(n.Location), region) {
			continue
		}
		// Somebody's: ours are gone by now, though a list may show them still.
		if there, err := d.exists(ctx, parsePath(val(n.ID))); err != nil || there {
			return err
		}
	}
	watchers, err := d.listWatchers(ctx)
	if err != nil {
		return err
	}
	for _, w := range watchers {
		at := parsePath(val(w.ID))
		if !sameRegion(val(w.Location), region) || at.group != watcherGroup || len(w.Tags) > 0 {
			continue
		}
		if used, err := d.watcherUsed(ctx, at); err != nil || used {
			return err
		}
		p, err := d.watchers.BeginDelete(ctx, at.group, at.name, nil)
		if err := unlessGone(done(ctx, p, err)); err != nil {
			return err
		}
	}
	return nil
}

// watcherUsed says whether somebody has set something up in a watcher.
func (d *Driver) watcherUsed(ctx context.Context, at place) (bool, error) {
	var logs, monitors, captures int
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		list, err := all(ctx, d.flowLogs.NewListPager(at.group, at.name, nil), func(p armnetwork.FlowLogsClientListResponse) []*armnetwork.FlowLog { return p.Value })
		logs = len(list)
		return unlessGone(err)
	})
	g.Go(func() error {
		list, err := all(ctx, d.monitors.NewListPager(at.group, at.name, nil),
			func(p armnetwork.ConnectionMonitorsClientListResponse) []*armnetwork.ConnectionMonitorResult {
				return p.Value
			})
		monitors = len(list)
		return unlessGone(err)
	})
	g.Go(func() error {
		list, err := all(ctx, d.captures.NewListPager(at.group, at.name, nil),
			func(p armnetwork.PacketCapturesClientListResponse) []*armnetwork.PacketCaptureResult { return p.Value })
		captures = len(list)
		return unlessGone(err)
	})
	err := g.Wait()
	return logs+monitors+captures > 0, err
}

// takeWatcherGroup deletes the watchers' group when nothing is in it.
func (d *Driver) takeWatcherGroup(ctx context.Context) error {
	watchers, err := d.listWatchers(ctx)
	if err != nil {
		return err
	}
	for _, w := range watchers { // what was taken away just now may still be listed
		if there, err := d.exists(ctx, parsePath(val(w.ID))); err != nil || there {
			return err
		}
	}
	at := place{path: d.path(kindGroup, watcherGroup, ""), group: watcherGroup, name: watcherGroup, kind: kindGroup}
	group, err := d.groups.Get(ctx, at.group, nil)
	if err != nil || len(group.Tags) > 0 {
		return unlessGone(err)
	}
	list, err := d.listIn(ctx, at.group)
	if err != nil {
		return unlessGone(err)
	}
	for _, x := range list {
		if p := parsePath(val(x.ID)); p.kind != kindWatcher { // those are gone, whatever this list says
			return nil
		}
	}
	p, err := d.groups.BeginDelete(ctx, at.group, nil)
	return unlessGone(done(ctx, p, err))
}
