package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/sizes"
	"github.com/skyweld/skyweld/spec"
)

func createCommand(s *settings) *cobra.Command {
	f := &changing{}
	var file, onLatency string
	var checkLatency func() error
	c := &cobra.Command{
		Use: "create", Short: "Ask what a new cluster is to be, and make it", Args: args(), SuggestFor: []string{"new", "init", "wizard"},
		Long: `Ask what a new cluster is to be: its name, the accounts, the place, the control plane, the workers and the network. It shows the cluster file that this gives, the plan and what the cluster will cost, and asks once more; then it writes the file and applies it. Nothing is made or written before.

The file is like any other: change it and 'skyweld apply' it again. In a script, and wherever nobody can be asked, write a file and apply it: 'skyweld explain --example' prints one.

Questions are forms in a terminal, and lines where TERM is dumb. Ctrl-C ends them.`,
		Example: "  skyweld create\n  skyweld create --file demo.yaml --wait\n  TERM=dumb skyweld create",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(f.check(c), checkLatency()); err != nil {
				return err
			}
			if !isTerminal(os.Stdin) || !isTerminal(os.Stderr) {
				return usageError{errors.New("create asks questions, and there is no terminal to ask at: write a cluster file ('skyweld explain --example > cluster.yaml') and 'skyweld apply -f cluster.yaml'")}
			}
			if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
				return usageError{fmt.Errorf("--file: %s is there already: name another, or apply it with 'skyweld apply -f %s'", file, file)}
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			w := &wizard{asker: s.askerFor(), client: client, draft: &draft{onLatency: onLatency}}
			if err := w.ask(c.Context()); err != nil {
				return err
			}
			return s.create(c, f, w, file)
		},
	}
	c.Flags().StringVar(&file, "file", "cluster.yaml", "`FILE` that is written, and mustn't be there yet")
	checkLatency = onLatencyFlag(c, &onLatency)
	f.flags(c, s)
	return c
}

// create shows what the answers come to, asks, writes the file and applies it.
func (s *settings) create(c *cobra.Command, f *changing, w *wizard, file string) error {
	text := w.draft.file()
	fmt.Fprintf(os.Stderr, "\n%s\n", indented(text))
	p, err := w.client.Plan(c.Context(), []byte(text))
	if err != nil {
		if c.Context().Err() == nil {
			if kept := os.WriteFile(file, []byte(text), 0o644); kept == nil {
				return fmt.Errorf("%w\nThe answers are in %s: mend it there, and 'skyweld apply -f %s'", err, file, file)
			}
		}
		return err
	}
	fmt.Fprintln(os.Stderr)
	if err := s.printPlan(c.OutOrStdout(), p); err != nil || f.dryRun {
		return err
	}
	const now, only = 0, 1
	what, err := w.asker.choose(c.Context(), "Make cluster "+w.draft.name+"?", "", []option{
		{"make it", "write " + file + " and apply it"}, {"only write " + file, "to change it, and apply it later"}, {"stop", "write nothing, make nothing"},
	}, now)
	if err != nil {
		return err
	}
	if what != now && what != only {
		return errUnasked
	}
	if err := writeNew(file, text); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s is written.\n", file)
	if what == only {
		return nil
	}
	return f.do(c, s, w.client, nil, func(ctx context.Context) (api.Change, error) { return w.client.Apply(ctx, []byte(text)) }, "applied")
}

// writeNew writes a file that isn't there yet.
func writeNew(file, text string) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	_, err = io.WriteString(out, text)
	return errors.Join(err, out.Close())
}

// wizard asks for a draft.
type wizard struct {
	asker  asker
	client *api.Client
	draft  *draft
}

func (w *wizard) ask(ctx context.Context) error {
	for _, ask := range []func(context.Context) error{w.askName, w.askAccounts, w.askPlace, w.askControlPlane, w.askWorkers, w.askNetwork} {
		if err := ask(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *wizard) askName(ctx context.Context) (err error) {
	clusters, err := w.client.Clusters(ctx)
	if err != nil {
		return err
	}
	taken := each(clusters, func(c api.Cluster) string { return c.Name })
	proposed := "demo"
	if slices.Contains(taken, proposed) {
		proposed = ""
	}
	w.draft.name, err = w.asker.text(ctx, "Name", "Its nodes' names begin with it.", proposed, func(name string) error {
		if slices.Contains(taken, name) {
			return fmt.Errorf("there is a cluster named %s already", name)
		}
		if name == "" {
			return errors.New("want a name")
		}
		return (&draft{name: name}).wrong("metadata.name")
	})
	return err
}

func (w *wizard) askAccounts(ctx context.Context) error {
	accounts, err := w.client.Accounts(ctx)
	if err != nil {
		return err
	}
	if len(accounts) == 0 {
		return errors.New("there are no accounts yet, and a cluster is made in them: add one with 'skyweld account add'")
	}
	options := each(accounts, func(a api.Account) option { return option{a.Name, a.Provider} })
	chosen := []int{0}
	if len(accounts) > 1 {
		if chosen, err = w.asker.several(ctx, "Accounts", "The cluster has a site in each of them.", options); err != nil {
			return err
		}
	}
	for _, i := range chosen {
		w.draft.sites = append(w.draft.sites, draftSite{account: accounts[i].Name, cloud: accounts[i].Provider})
	}
	nameSites(w.draft.sites)
	return nil
}

// usualRTT is the longest round trip between two sites that needs no word.
const usualRTT = 10 * time.Millisecond

func (w *wizard) askPlace(ctx context.Context) error {
	d := w.draft
	clouds := slices.Compact(slices.Sorted(slices.Values(each(d.sites, func(s draftSite) string { return s.cloud }))))
	metros := geo.Metros(clouds...)
	var options []option
	for _, name := range metros {
		options = append(options, metroOption(name, d.sites))
	}
	options = append(options, option{"regions", "name each site's own"})
	at, err := w.asker.choose(ctx, "Place", "Regions of different clouds that are near each other.", options, max(0, slices.Index(metros, "us-east")))
	if err != nil {
		return err
	}
	if at < len(metros) {
		d.metro = metros[at]
		return nil
	}
	return w.askRegions(ctx)
}

func metroOption(name string, sites []draftSite) option {
	var regions []string
	probe := &draft{}
	for _, s := range sites {
		if p, ok := geo.MetroRegion(name, s.cloud); ok && !slices.Contains(regions, p.ID) {
			regions = append(regions, p.ID)
			probe.sites = append(probe.sites, draftSite{cloud: s.cloud, region: p.ID})
		}
	}
	about := strings.Join(regions, ", ")
	if g, ok := geo.Metro(name); ok {
		about = g.Title + " (" + about + ")"
	}
	if rtt, _ := probe.farthest(); rtt > 0 {
		about += fmt.Sprintf(", round trips up to %.1f ms", float64(rtt)/float64(time.Millisecond))
	}
	return option{name, about}
}

func (w *wizard) askRegions(ctx context.Context) error {
	d := w.draft
	for {
		for i := range d.sites {
			site := &d.sites[i]
			places := geo.Regions(site.cloud)
			at, err := w.asker.choose(ctx, "Region of site "+site.name, "", each(places, func(p geo.Place) option { return option{p.ID, p.City} }), 0)
			if err != nil {
				return err
			}
			site.region = places[at].ID
		}
		rtt, between := d.farthest()
		if rtt <= usualRTT {
			return nil
		}
		limit := (rtt + usualRTT - 1).Truncate(usualRTT)
		at, err := w.asker.choose(ctx, fmt.Sprintf("The round trip between %s is %.1f ms, and usual is %s at most", between, float64(rtt)/float64(time.Millisecond), usualRTT),
			"The control plane's members wait for each other at every write.", []option{{"other regions", ""}, {"take it", "with network.maxRTT " + limit.String()}}, 0)
		if err != nil {
			return err
		}
		if at == 1 {
			d.maxRTT = limit
			return nil
		}
	}
}

// sizeOptions are the sizes, with what they are.
func sizeOptions() []option {
	var out []option
	for _, name := range sizes.Names() {
		for _, s := range sizes.All() {
			if s.Name == name {
				out = append(out, option{name, fmt.Sprintf("%d vCPUs, %g GiB", s.VCPUs, float64(s.MemoryMiB)/1024)})
				break
			}
		}
	}
	return out
}

func (w *wizard) askControlPlane(ctx context.Context) error {
	replicas := []int{1, 3, 5, 7}
	at, err := w.asker.choose(ctx, "Nodes of the control plane", "They are spread over the sites. Fixed at creation.",
		[]option{{"1", "for trying out: there is no control plane while it is away"}, {"3", "one may be away"}, {"5", "two may be away"}, {"7", "three may be away"}}, 1)
	if err != nil {
		return err
	}
	w.draft.replicas = replicas[at]
	options := sizeOptions()
	if at, err = w.asker.choose(ctx, "Size of each", "Fixed at creation.", options, 1); err == nil {
		w.draft.size = options[at].name
	}
	return err
}

// mostAtOnce is how many workers a site may begin with.
const mostAtOnce = 100

func (w *wizard) askWorkers(ctx context.Context) error {
	for _, site := range w.draft.sites {
		count, err := w.asker.text(ctx, "Workers at site "+site.name, "", "1", func(text string) error {
			if n, err := strconv.Atoi(text); err != nil || n < 0 || n > mostAtOnce {
				return fmt.Errorf("found %q: want a number from 0 to %d", text, mostAtOnce)
			}
			return nil
		})
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(count) // it was checked
		if n == 0 {
			continue
		}
		options := append(sizeOptions(), option{"another", "a machine type of the cloud's own"})
		at, err := w.asker.choose(ctx, "Size of the workers at "+site.name, "", options, 0)
		if err != nil {
			return err
		}
		size := options[at].name
		if at == len(options)-1 {
			if size, err = w.asker.text(ctx, "Machine type at "+site.name, "As "+site.cloud+" names it.", "", func(text string) error {
				if text == "" || strings.ContainsAny(text, " \t\"'") {
					return errors.New("want a machine type")
				}
				return nil
			}); err != nil {
				return err
			}
		}
		name := "web"
		if len(w.draft.sites) > 1 {
			name = "web-" + site.name
		}
		w.draft.workers = append(w.draft.workers, draftWorkers{name: name, site: site.name, size: size, count: n})
	}
	return nil
}

func (w *wizard) askNetwork(ctx context.Context) error {
	usual := &spec.Cluster{}
	spec.Default(usual)
	pods, services := usual.Spec.Network.Pods.String(), usual.Spec.Network.Services.String()
	at, err := w.asker.choose(ctx, "Network", "Ranges are fixed at creation; who reaches the API isn't.", []option{
		{"usual", "pods in " + pods + ", services in " + services + ", the API for this engine alone"}, {"own", "other ranges, or others who reach the API"},
	}, 0)
	if err != nil || at == 0 {
		return err
	}
	one := func(field *string, path string) func(string) error {
		return func(text string) error {
			was := *field
			list, err := ranges(text)
			if err == nil && len(list) != 1 {
				err = errors.New("want one range")
			}
			if err != nil {
				return err
			}
			*field = list[0]
			if err = w.draft.wrong(path); err != nil {
				*field = was
			}
			return err
		}
	}
	for _, q := range []struct {
		title, usual, path string
		field              *string
	}{{"Range of pods", pods, "spec.network.pods", &w.draft.pods}, {"Range of services", services, "spec.network.services", &w.draft.services}} {
		if _, err := w.asker.text(ctx, q.title, "", q.usual, one(q.field, q.path)); err != nil {
			return err
		}
		if *q.field == q.usual {
			*q.field = ""
		}
	}
	_, err = w.asker.text(ctx, "Who else reaches the Kubernetes API", "Addresses and ranges; none for this engine alone.", "", func(text string) (err error) {
		w.draft.api, err = ranges(text)
		if err == nil && len(w.draft.api) > 0 {
			err = w.draft.wrong("spec.access.api[0]")
		}
		return err
	})
	return err
}
