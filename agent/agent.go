// Package agent is the node side: on each machine of a cluster it brings tunnel, routes, firewall, programs and services to
// what a signed node config says. It never talks to a cloud or decides anything; the engine calls it over SSH.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/agent/flow"
	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/agent/probe"
	"github.com/skyweld/skyweld/agent/tunnel"
	"github.com/skyweld/skyweld/node"
)

// terminal is where a command's input and output go.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// command is one subcommand.
type command struct {
	usage, short string
	run          func(ctx context.Context, m *host.Machine, args []string, t terminal) error
}

var commands = map[string]command{
	"install":   {"", "make this program the machine's agent, and wait until it answers", runInstall},
	"run":       {"", "be the agent; the machine's init starts this", runRun},
	"identity":  {"", "print the machine's keys and what it is, as JSON", runIdentity},
	"hostkey":   {"--prepare | --switch", "make a new SSH host key and print it, or put it in place", runHostKey},
	"apply":     {"< CONFIG", "bring the machine to a signed config and print what changed, as JSON", runApply},
	"kubeadm":   {"< BOOTSTRAP", "make the machine a member of its cluster", runKubeadm},
	"lone-etcd": {"", "make what etcd has on this machine a cluster of one member, because its majority is lost for good", runLoneEtcd},
	"renew":     {"< RENEWAL", "make the node's certificates anew, and have all that uses them take them up", runRenew},
	"latency":   {"[--since TIME | --count N [ADDRESS…]]", "print, as JSON, the round trips measured since a time, or measure those to peers inside the tunnel now", runLatency},
	"flow":      {"[--for TIME] ADDRESS", "send as much as goes to a machine that measures, inside the tunnel, and print how much that was as JSON", runFlow},
	"status":    {"", "print what the agent knows of its node, as JSON", runStatus},
	"uninstall": {"", "take away all that the agent made on the machine", runUninstall},
}

// errUsage means that a command was called wrongly.
var errUsage = errors.New("wrong usage")

// Main runs one subcommand of "skyweld agent" and returns the exit code: 0, 1 when something failed, 2 for wrong usage.
// Results go to stdout; errors, logs and progress to stderr.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		printUsage(stderr)
		return 2
	}
	chosen, ok := commands[args[0]]
	if !ok {
		fmt.Fprintf(stderr, "skyweld agent: there is no command %q\n", args[0])
		printUsage(stderr)
		return 2
	}
	level := slog.LevelWarn
	if args[0] == "run" {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	m := &host.Machine{Tools: host.Exec{Log: log}, Facts: host.ReadFacts(), Log: log}
	err := chosen.run(ctx, m, args[1:], terminal{in: stdin, out: stdout, err: stderr})
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 2
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "usage: skyweld agent %s %s\n%v\n", args[0], chosen.usage, err)
		return 2
	}
	fmt.Fprintf(stderr, "skyweld agent %s: %v\n", args[0], err)
	return 1
}

func printUsage(w io.Writer) {
	fmt.Fprintln(w, "usage: skyweld agent COMMAND")
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		c := commands[name]
		fmt.Fprintf(w, "  %-34s %s\n", strings.TrimSpace(name+" "+c.usage), c.short)
	}
}

// flags parses a command's flags and refuses what else there is, unless more is allowed.
func flags(set *flag.FlagSet, args []string, more bool) error {
	set.SetOutput(io.Discard)
	if err := set.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if !more && set.NArg() > 0 {
		return fmt.Errorf("%w: unexpected %q", errUsage, set.Arg(0))
	}
	return nil
}

func none(args []string) error { return flags(flag.NewFlagSet("", flag.ContinueOnError), args, false) }

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func runInstall(ctx context.Context, m *host.Machine, args []string, t terminal) error {
	if err := none(args); err != nil {
		return err
	}
	changed, err := install(ctx, m)
	for _, what := range changed {
		fmt.Fprintln(t.err, what)
	}
	return err
}

func runRun(ctx context.Context, m *host.Machine, args []string, _ terminal) error {
	if err := none(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	return run(ctx, m)
}

// runIdentity works without the daemon too: it is the first thing that is asked of a machine.
func runIdentity(ctx context.Context, m *host.Machine, args []string, t terminal) error {
	if err := none(args); err != nil {
		return err
	}
	var id node.Identity
	err := call(ctx, m, "GET", "/v1/identity", nil, &id)
	if errors.Is(err, errNoDaemon) {
		id, err = identity(m, tunnel.KernelWireGuard())
	}
	if err != nil {
		return err
	}
	return printJSON(t.out, id)
}

func runHostKey(ctx context.Context, m *host.Machine, args []string, t terminal) error {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	doPrepare := set.Bool("prepare", false, "")
	doSwitch := set.Bool("switch", false, "")
	if err := flags(set, args, false); err != nil {
		return err
	}
	if *doPrepare == *doSwitch {
		return fmt.Errorf("%w: either --prepare or --switch", errUsage)
	}
	key, err := prepareHostKey(m)
	if err != nil {
		return err
	}
	if *doSwitch {
		if err := switchHostKey(ctx, m); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(t.out, key)
	return err
}

func runApply(ctx context.Context, m *host.Machine, args []string, t terminal) error {
	if err := none(args); err != nil {
		return err
	}
	envelope, err := io.ReadAll(io.LimitReader(t.in, envelopeLimit))
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	var report node.Report
	if err := call(ctx, m, "POST", "/v1/apply", envelope, &report); err != nil {
		return err
	}
	return printJSON(t.out, report)
}

func runKubeadm(ctx context.Context, m *host.Machine, args []string, t terminal) error {
	if err := none(args); err != nil {
		return err
	}
	return callKubeadm(ctx, m, io.LimitReader(t.in, envelopeLimit), t.err)
}

// runLoneEtcd and runRenew answer nothing but that it is done.
func runLoneEtcd(ctx context.Context, m *host.Machine, args []string, _ terminal) error {
	if err := none(args); err != nil {
		return err
	}
	return call(ctx, m, "POST", "/v1/lone-etcd", nil, new(struct{}))
}

func runRenew(ctx context.Context, m *host.Machine, args []string, t terminal) error {
	if err := none(args); err != nil {
		return err
	}
	renewal, err := io.ReadAll(io.LimitReader(t.in, envelopeLimit))
	if err != nil {
		return fmt.Errorf("read renewal: %w", err)
	}
	return call(ctx, m, "POST", "/v1/renew", renewal, new(struct{}))
}

func runLatency(ctx context.Context, m *host.Machine, args []string, t terminal) error {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	count := set.Int("count", 10, "")
	since := set.String("since", "", "")
	if err := flags(set, args, true); err != nil {
		return err
	}
	if *since != "" {
		return runLatencySince(ctx, m, *since, t)
	}
	asked := measurement{Count: *count, Addresses: []netip.Addr{}}
	for _, text := range set.Args() {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		asked.Addresses = append(asked.Addresses, address)
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	results := []probe.Result{}
	if err := call(ctx, m, "POST", "/v1/latency", body, &results); err != nil {
		return err
	}
	return printJSON(t.out, results)
}

// runLatencySince prints what the agent measured by itself.
func runLatencySince(ctx context.Context, m *host.Machine, since string, t terminal) error {
	start, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	var latency node.Latency
	if err := call(ctx, m, "GET", "/v1/latency?since="+url.QueryEscape(start.Format(time.RFC3339)), nil, &latency); err != nil {
		return err
	}
	return printJSON(t.out, latency)
}

func runFlow(ctx context.Context, m *host.Machine, args []string, t terminal) error {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	length := set.Duration("for", 5*time.Second, "")
	if err := flags(set, args, true); err != nil {
		return err
	}
	if set.NArg() != 1 || *length <= 0 || *length > flow.Longest {
		return fmt.Errorf("%w: want one address, and a time of at most %s", errUsage, flow.Longest)
	}
	to, err := netip.ParseAddr(set.Arg(0))
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	before, err := readAccepted(m)
	if err != nil {
		return err
	}
	if before == nil {
		return errors.New("send: this node has no config yet")
	}
	// As with probes, the first address of our pod block leads into the tunnel.
	result, err := flow.Send(ctx, before.Config.Tunnel.Address.Addr(), to, *length)
	if err != nil {
		return err
	}
	return printJSON(t.out, result)
}

func runStatus(ctx context.Context, m *host.Machine, args []string, t terminal) error {
	if err := none(args); err != nil {
		return err
	}
	var status node.Status
	if err := call(ctx, m, "GET", "/v1/status", nil, &status); err != nil {
		return err
	}
	return printJSON(t.out, status)
}

func runUninstall(ctx context.Context, m *host.Machine, args []string, t terminal) error {
	if err := none(args); err != nil {
		return err
	}
	return uninstall(ctx, m, t.err)
}
