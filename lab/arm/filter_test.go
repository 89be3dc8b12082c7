package arm_test

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
)

// TestTagFilters finds groups and resources by tags: the words of a filter and the tags' names in any case, as the command
// line writes them.
func TestTagFilters(t *testing.T) {
	l := open(t, nil)
	l.site(t) // the group and the machine have the tag owner=us
	ctx := t.Context()
	_, err := l.groups.CreateOrUpdate(ctx, "bare", armresources.ResourceGroup{Location: ptr(location)}, nil)
	must(t, err)
	for filter, want := range map[string][2]int{
		"":                   {3, 7}, // one group is the network watcher's
		"tagName eq 'owner'": {1, 2},
		"tagname eq 'OWNER' and tagvalue eq 'us'": {1, 2},
		"tagName eq 'owner' and tagValue eq 'US'": {0, 0},
		"tagName eq 'nobody'":                     {0, 0},
	} {
		var got [2]int
		groups := l.groups.NewListPager(&armresources.ResourceGroupsClientListOptions{Filter: ptr(filter)})
		for groups.More() {
			page, err := groups.NextPage(ctx)
			must(t, err)
			got[0] += len(page.Value)
		}
		resources := l.resources.NewListPager(&armresources.ClientListOptions{Filter: ptr(filter)})
		for resources.More() {
			page, err := resources.NextPage(ctx)
			must(t, err)
			got[1] += len(page.Value)
		}
		if got != want {
			t.Errorf("filter %q: found %d groups and %d resources, want %v", filter, got[0], got[1], want)
		}
	}
}

// TestSlashes asks by a path with two slashes in it, as clients make it that leave out the parent's part.
func TestSlashes(t *testing.T) {
	l := open(t, nil)
	l.site(t)
	r := &replay{l: l, token: l.token(t)}
	resp, body := r.do(t, "GET", l.server.URL+"/subscriptions/"+subscription+"/resourcegroups/site/providers/Microsoft.Compute//virtualMachines/one?api-version=2024-07-01", "", nil)
	if resp.StatusCode != 200 {
		t.Errorf("status %d: %s", resp.StatusCode, body)
	}
}
