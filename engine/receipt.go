package engine

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// Receipt says what a cluster's accounts held before it and after it, and what the difference is. docs/deletion.md has its
// form.
type Receipt struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Cluster    ReceiptCluster `json:"cluster"`
	// State is "open" while the cluster lives, "nothing-left" or "abandoned" after it.
	State    string           `json:"state"`
	Summary  string           `json:"summary"`
	Accounts []ReceiptAccount `json:"accounts"`
	// Kubernetes is what controllers inside the cluster had made in the clouds and had not removed when it ended.
	Kubernetes []kube.Leftover `json:"kubernetes,omitempty"`
	// Abandoned are the sites that a user gave up, with what is left there.
	Abandoned []AbandonedSite `json:"abandoned,omitempty"`
	// Signature is there when the receipt is closed.
	Signature *Signature `json:"signature,omitempty"`
}

// The states of a receipt.
const (
	ReceiptOpen      = "open"
	ReceiptClean     = "nothing-left"
	ReceiptAbandoned = "abandoned"
)

// receiptKind is a receipt's kind.
const receiptKind = "Receipt"

// ReceiptCluster is the cluster that a receipt is about.
type ReceiptCluster struct {
	Name    string    `json:"name"`
	UID     string    `json:"uid"`
	Created time.Time `json:"created"`
	Deleted time.Time `json:"deleted,omitzero"`
}

// ReceiptAccount is one account of a cluster.
type ReceiptAccount struct {
	Name     string   `json:"name"`
	Provider string   `json:"provider"`
	Regions  []string `json:"regions"`
	Sites    []string `json:"sites"`
	// Before and After are nil when there is none: After while the cluster lives, or where all sites were given up.
	Before *ReceiptInventory `json:"before,omitempty"`
	After  *ReceiptInventory `json:"after,omitempty"`
	// Differences are those between the two.
	Differences []Difference `json:"differences,omitempty"`
}

// ReceiptInventory is what an account held in the cluster's regions, and outside any region.
type ReceiptInventory struct {
	Taken time.Time    `json:"taken"`
	Items []cloud.Item `json:"items"`
}

// AbandonedSite is a site that was given up.
type AbandonedSite struct {
	Site    string     `json:"site"`
	Account string     `json:"account"`
	Region  string     `json:"region"`
	Who     string     `json:"who"`
	Asked   time.Time  `json:"asked"`
	Reason  string     `json:"reason"`
	Items   []LeftItem `json:"items"`
}

// inventories says which inventories belong to a cluster's receipt and are on record already.
func (s *survey) inventories(ctx context.Context) ([]plan.Inventory, error) {
	taken, err := s.e.store.ListInventories(ctx, s.cluster.UID)
	if err != nil {
		return nil, err
	}
	removals, err := s.e.store.LastRemovals(ctx, s.cluster.UID)
	if err != nil {
		return nil, err
	}
	removed := map[string]time.Time{} // by account
	for site, at := range removals {
		if account := s.account(site); at.After(removed[account]) {
			removed[account] = at
		}
	}
	var out []plan.Inventory
	for _, sp := range s.spec.Spec.Sites {
		st := s.sites[sp.Name]
		key := st.account.Name + "/" + sp.Region
		if i := slices.IndexFunc(out, func(v plan.Inventory) bool { return v.Key == key }); i >= 0 {
			out[i].Sites = append(out[i].Sites, sp.Name)
			continue
		}
		on := func(m store.Moment) *store.Inventory {
			i := slices.IndexFunc(taken, func(v store.Inventory) bool {
				return v.Account == st.account.Name && v.Region == sp.Region && v.Moment == m
			})
			if i < 0 {
				return nil
			}
			return &taken[i]
		}
		before, after := on(store.Before), on(store.After)
		v := plan.Inventory{Key: key, Site: sp.Name, Sites: []string{sp.Name}, Taken: before != nil}
		if s.deleting {
			if before == nil {
				continue // nothing was ever begun there
			}
			v.Taken = after != nil && !after.Taken.Before(removed[st.account.Name])
		}
		out = append(out, v)
	}
	return out, nil
}

// recordInventory takes an account's inventory for the receipt. Afterwards it waits until lists show nothing of the cluster
// any more: they may lag behind.
func (r *run) recordInventory(ctx context.Context, s plan.Step) error {
	st := r.sites[s.Site]
	if st == nil {
		return fmt.Errorf("the cluster has no site %s", s.Site)
	}
	made, left, err := r.e.madeFor(ctx, r.cluster, r.forsaken)
	if err != nil {
		return err
	}
	pauses := cloud.Backoff{First: 3 * r.e.patience.retry, Most: mostPause}
	for end := time.Now().Add(r.e.patience.listLag); ; {
		items, err := retryBriefly(ctx, r.e.patience, func(ctx context.Context) ([]cloud.Item, error) {
			return st.driver.Inventory(ctx, st.spec.Region)
		})
		if err != nil {
			return err
		}
		ours := attribution{uid: r.cluster.UID, account: st.account.Name, made: made, left: left}
		ours.look(items)
		if !r.deleting { // what is left of a beginning that was broken off was not there before the cluster
			items = slices.DeleteFunc(items, func(i cloud.Item) bool { return ours.of(i) == ByThis || i.Cluster == r.cluster.UID })
			return r.keepInventory(ctx, st, store.Before, items)
		}
		lingers, waiting := r.lingering(ours, items)
		if !waiting {
			return r.keepInventory(ctx, st, store.After, items)
		}
		if time.Now().After(end) {
			if len(lingers) == 0 { // marked, and never made by us: the receipt names it
				return r.keepInventory(ctx, st, store.After, items)
			}
			return fmt.Errorf("account %s still shows %s, which this cluster made and has deleted: another look is taken later", st.account.Name, strings.Join(lingers, ", "))
		}
		if err := cloud.Pause(ctx, pauses.Next(0)); err != nil {
			return err
		}
	}
}

// lingering finds what an inventory still shows of the cluster. left is what it surely made; waiting says that there is that,
// or something else under its mark which no look has shown to be a stranger's.
func (r *run) lingering(a attribution, items []cloud.Item) (left []string, waiting bool) {
	strange := map[string]bool{}
	for _, g := range r.got {
		if !g.Recorded && !g.Intended && r.account(g.Site) == a.account {
			strange[g.ID] = true
		}
	}
	for _, i := range items {
		switch by := a.of(i); {
		case by == ByThis:
			left, waiting = append(left, string(i.Kind)+" "+i.ID), true
		case by == ByCopy && !strange[i.ID]:
			waiting = true
		}
	}
	return left, waiting
}

func (r *run) keepInventory(ctx context.Context, st *site, m store.Moment, items []cloud.Item) error {
	if items == nil {
		items = []cloud.Item{}
	}
	data, err := json.Marshal(items)
	if err != nil {
		return fmt.Errorf("the inventory of account %s: %w", st.account.Name, err)
	}
	if err := r.e.store.PutInventory(ctx, r.fence, store.Inventory{Account: st.account.Name, Region: st.spec.Region, Moment: m, Items: data}); err != nil {
		return err
	}
	r.note(ctx, "InventoryTaken", "account "+st.account.Name, fmt.Sprintf("%d things in %s %s the cluster", len(items), st.spec.Region, m))
	return nil
}

// madeFor is everything that was ever made for a cluster; left is what of it was made at sites that were given up.
func (e *Engine) madeFor(ctx context.Context, c store.Cluster, forsaken func(site string) bool) (made, left map[identity]bool, err error) {
	all, err := e.store.ListMade(ctx, c.UID)
	if err != nil {
		return nil, nil, err
	}
	account := accountOf(c.Spec)
	made, left = map[identity]bool{}, map[identity]bool{}
	for _, m := range all {
		of := made
		if forsaken(m.Site) {
			of = left
		}
		of[identity{account(m.Site), cloud.Kind(m.Kind), m.ID}] = true
	}
	return made, left, nil
}

// accountOf tells the account of each of a cluster's sites.
func accountOf(c *spec.Cluster) func(site string) string {
	return func(site string) string {
		for _, s := range c.Spec.Sites {
			if s.Name == site {
				return s.Account
			}
		}
		return ""
	}
}

// closeReceipt makes a cluster's receipt at its end, and signs it.
func (e *Engine) closeReceipt(ctx context.Context, s *survey) (store.Receipt, error) {
	c, err := e.store.GetClusterByUID(ctx, s.cluster.UID) // with all that was found out until now
	if err != nil {
		return store.Receipt{}, err
	}
	r, err := e.openReceipt(ctx, c)
	if err != nil {
		return store.Receipt{}, err
	}
	if r.Cluster.Deleted, err = e.store.Now(ctx); err != nil {
		return store.Receipt{}, err
	}
	for _, a := range r.Accounts {
		for _, d := range a.Differences {
			if d.By == ByThis {
				return store.Receipt{}, fmt.Errorf("the receipt shows %s %s in account %s, which this cluster made: it is not deleted yet", d.Item.Kind, d.Item.ID, a.Name)
			}
		}
	}
	r.State = ReceiptClean
	if len(r.Abandoned) > 0 {
		r.State = ReceiptAbandoned
	}
	r.Summary = s.scrubber.clean(r.summary())
	key, err := e.receiptKey(ctx)
	if err != nil {
		return store.Receipt{}, err
	}
	document, err := r.sign(key)
	return store.Receipt{Name: c.Name, Summary: r.Summary, Document: string(document)}, err
}

// openReceipt is what is known of a cluster's receipt now.
func (e *Engine) openReceipt(ctx context.Context, c store.Cluster) (Receipt, error) {
	r := Receipt{
		APIVersion: spec.APIVersion, Kind: receiptKind, State: ReceiptOpen, Accounts: []ReceiptAccount{},
		Cluster: ReceiptCluster{Name: c.Name, UID: c.UID, Created: c.Created},
	}
	var status Status
	if len(c.Status) > 0 && json.Unmarshal(c.Status, &status) == nil {
		r.Kubernetes = status.Leftovers
	}
	abandoned, err := e.store.ListAbandoned(ctx, c.UID)
	if err != nil {
		return r, err
	}
	for _, a := range abandoned {
		left := AbandonedSite{Site: a.Site, Account: a.Account, Region: a.Region, Who: a.Who, Asked: a.Asked, Reason: a.Reason, Items: []LeftItem{}}
		if len(a.Items) > 0 {
			if err := json.Unmarshal(a.Items, &left.Items); err != nil {
				return r, fmt.Errorf("what was left at site %s: %w", a.Site, err)
			}
		}
		r.Abandoned = append(r.Abandoned, left)
	}
	if err := e.receiptAccounts(ctx, c, &r); err != nil {
		return r, err
	}
	r.Summary = r.summary()
	return r, nil
}

// receiptAccounts fills in what each account held.
func (e *Engine) receiptAccounts(ctx context.Context, c store.Cluster, r *Receipt) error {
	taken, err := e.store.ListInventories(ctx, c.UID)
	if err != nil {
		return err
	}
	made, left, err := e.madeFor(ctx, c, func(site string) bool {
		return slices.ContainsFunc(r.Abandoned, func(a AbandonedSite) bool { return a.Site == site })
	})
	if err != nil {
		return err
	}
	for _, a := range r.Abandoned { // the ledger, which is forgotten by now, had what came along with machines, too
		for _, i := range a.Items {
			left[identity{a.Account, cloud.Kind(i.Kind), i.ID}] = true
		}
	}
	for _, name := range c.Spec.Accounts() {
		a := ReceiptAccount{Name: name}
		if account, err := e.store.GetAccount(ctx, name); err == nil {
			a.Provider = string(account.Provider)
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		for _, s := range c.Spec.Spec.Sites {
			if s.Account == name {
				a.Sites, a.Regions = append(a.Sites, s.Name), append(a.Regions, s.Region)
			}
		}
		a.Regions = cloud.SortedSet(a.Regions)
		if a.Before, err = joined(taken, name, store.Before); err != nil {
			return err
		}
		if a.After, err = joined(taken, name, store.After); err != nil {
			return err
		}
		if a.Before != nil && a.After != nil {
			by := attribution{uid: c.UID, account: name, made: made, left: left, kubernetes: r.Kubernetes, name: c.Name}
			a.Differences = by.differences(a.Before.Items, a.After.Items)
		}
		r.Accounts = append(r.Accounts, a)
	}
	return nil
}

// joined is an account's inventory of all regions of one moment; nil when there is none. What is outside of regions is in
// that of each.
func joined(all []store.Inventory, account string, m store.Moment) (*ReceiptInventory, error) {
	var out *ReceiptInventory
	seen := map[cloud.Item]bool{}
	for _, v := range all {
		if v.Account != account || v.Moment != m {
			continue
		}
		if out == nil {
			out = &ReceiptInventory{Taken: v.Taken, Items: []cloud.Item{}}
		}
		if v.Taken.After(out.Taken) {
			out.Taken = v.Taken
		}
		var items []cloud.Item
		if err := json.Unmarshal(v.Items, &items); err != nil {
			return nil, fmt.Errorf("the inventory of account %s in %s: %w", account, v.Region, err)
		}
		for _, i := range items {
			if id := (cloud.Item{Kind: i.Kind, Region: i.Region, ID: i.ID}); !seen[id] {
				seen[id] = true
				out.Items = append(out.Items, i)
			}
		}
	}
	if out != nil {
		slices.SortFunc(out.Items, cloud.CompareItems)
	}
	return out, nil
}

// summary is a receipt in one line.
func (r Receipt) summary() string {
	things, compared, differences := 0, false, map[By]int{}
	var blind []string // accounts of which nobody knows what they held before
	for _, a := range r.Accounts {
		switch {
		case a.Before == nil:
			blind = append(blind, a.Name)
		case a.After != nil || r.State == ReceiptOpen:
			things, compared = things+len(a.Before.Items), true
		}
		for _, d := range a.Differences {
			if d.By != ByAbandoned {
				differences[d.By]++
			}
		}
	}
	if r.State == ReceiptOpen {
		return fmt.Sprintf("the accounts held %d things before the cluster; what they hold after it is added when it is deleted", things)
	}
	text := fmt.Sprintf("nothing of the cluster is left, and the accounts hold the same %d things as before it", things)
	switch {
	case len(differences) > 0:
		var parts []string
		for _, by := range allBy {
			if n := differences[by]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, differencesBy[by]))
			}
		}
		text = fmt.Sprintf("nothing that the cluster made is left; beside the %d things from before it there are differences: %s", things, strings.Join(parts, ", "))
	case !compared:
		text = "nothing of the cluster is left"
	}
	if len(blind) > 0 {
		text += "; from before it there is no inventory of " + strings.Join(blind, ", ") + " to compare with"
	}
	if len(r.Abandoned) > 0 {
		var sites []string
		left := 0
		for _, a := range r.Abandoned {
			sites, left = append(sites, a.Site), left+len(a.Items)
		}
		text = fmt.Sprintf("%d things are left at what was abandoned (%s); elsewhere %s", left, strings.Join(sites, ", "), text)
	}
	return text
}

// Receipt returns the receipt of a cluster by its name or uid: what is known of it while it lives, and the signed one, byte
// by byte, after that.
func (e *Engine) Receipt(ctx context.Context, nameOrUID string) (Receipt, error) {
	c, err := e.store.GetCluster(ctx, nameOrUID)
	if errors.Is(err, store.ErrNotFound) && cloud.CheckUID(nameOrUID) == nil {
		if c, err = e.store.GetClusterByUID(ctx, nameOrUID); err == nil && !c.Deleted.IsZero() {
			err = store.ErrNotFound
		}
	}
	if err == nil {
		return e.openReceipt(ctx, c)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return Receipt{}, err
	}
	kept, err := e.store.GetReceipt(ctx, nameOrUID)
	if errors.Is(err, store.ErrNotFound) {
		return Receipt{}, &Problem{Kind: Missing, Message: fmt.Sprintf("there is no cluster, and no receipt of one, with the name or uid %q; 'skyweld get receipts' lists those there are", nameOrUID)}
	}
	if err != nil {
		return Receipt{}, err
	}
	var r Receipt
	if err := json.Unmarshal([]byte(kept.Document), &r); err != nil {
		return r, fmt.Errorf("receipt of cluster %s: %w", nameOrUID, err)
	}
	return r, nil
}

// receiptKeyName is the name of the key that receipts are signed with.
const receiptKeyName = "receipts"

// receiptKey is the engine's key for receipts, the same for all engines of a database.
func (e *Engine) receiptKey(ctx context.Context) (ed25519.PrivateKey, error) {
	seed, err := e.store.EngineKey(ctx, receiptKeyName, func() ([]byte, error) {
		seed := make([]byte, ed25519.SeedSize)
		_, err := rand.Read(seed)
		return seed, err
	})
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("the engine's key for receipts has %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// ReceiptKey is the public key with which the engine's receipts can be checked.
func (e *Engine) ReceiptKey(ctx context.Context) (ed25519.PublicKey, error) {
	key, err := e.receiptKey(ctx)
	if err != nil {
		return nil, err
	}
	return key.Public().(ed25519.PublicKey), nil
}

// compareDifferences is the order of differences: by who made them, then as inventories are.
func compareDifferences(a, b Difference) int {
	return cmp.Or(cmp.Compare(slices.Index(allBy, a.By), slices.Index(allBy, b.By)), strings.Compare(string(a.Change), string(b.Change)), cloud.CompareItems(a.Item, b.Item))
}
