package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// doctl does what lines of DigitalOcean's command say, joined by " && ", through the official SDK, and waits for the actions
// that they begin.
type doctl struct{ c *godo.Client }

func (d doctl) run(s *driftSite, command string) error {
	for line := range strings.SplitSeq(command, " && ") {
		if err := d.line(s.Context(), line); err != nil {
			return err
		}
	}
	return nil
}

// doctlLine is a line taken apart: words, arguments and options.
type doctlLine struct {
	words   string
	args    []string
	options map[string]string
}

// doctlWords is how many words of a line are the command's name.
var doctlWords = map[string]int{"vpcs": 2}

func (d doctl) line(ctx context.Context, line string) error {
	f := strings.Fields(line)
	if len(f) < 4 || f[0] != "doctl" {
		return fmt.Errorf("%q is no command of doctl", line)
	}
	n := 3
	if doctlWords[f[1]] > 0 {
		n = doctlWords[f[1]]
	}
	l := doctlLine{words: strings.Join(f[1:n+1], " "), options: map[string]string{}}
	for rest := f[n+1:]; len(rest) > 0; rest = rest[1:] {
		switch {
		case rest[0] == "--force":
		case strings.HasPrefix(rest[0], "--") && len(rest) > 1:
			l.options[strings.TrimPrefix(rest[0], "--")] = rest[1]
			rest = rest[1:]
		default:
			l.args = append(l.args, rest[0])
		}
	}
	if len(l.args) == 0 {
		return fmt.Errorf("%s: of what?", line)
	}
	for _, do := range []func(context.Context, doctlLine) (bool, error){d.plain, d.firewall, d.droplet, d.reserved} {
		if known, err := do(ctx, l); known {
			return err
		}
	}
	return fmt.Errorf("%s: doctl has no such command here", line)
}

// plain are the commands that a call does and nothing else.
func (d doctl) plain(ctx context.Context, l doctlLine) (bool, error) {
	var err error
	switch id := l.args[0]; l.words {
	case "compute tag delete":
		_, err = d.c.Tags.Delete(ctx, id)
	case "vpcs delete":
		_, err = d.c.VPCs.Delete(ctx, id)
	case "vpcs update":
		_, _, err = d.c.VPCs.Update(ctx, id, &godo.VPCUpdateRequest{Name: l.options["name"], Description: l.options["description"]})
	default:
		return false, nil
	}
	return true, err
}

// doctlRule reads a rule like "protocol:tcp,ports:22,address:192.0.2.9/32".
func doctlRule(text string) (protocol, ports string, addresses []string) {
	for part := range strings.SplitSeq(text, ",") {
		switch name, value, _ := strings.Cut(part, ":"); name {
		case "protocol":
			protocol = value
		case "ports":
			ports = value
		case "address":
			addresses = append(addresses, value)
		}
	}
	return protocol, ports, addresses
}

func doctlRules(l doctlLine) *godo.FirewallRulesRequest {
	out := &godo.FirewallRulesRequest{}
	if text := l.options["inbound-rules"]; text != "" {
		protocol, ports, from := doctlRule(text)
		out.InboundRules = []godo.InboundRule{{Protocol: protocol, PortRange: ports, Sources: &godo.Sources{Addresses: from}}}
	}
	if text := l.options["outbound-rules"]; text != "" {
		protocol, ports, to := doctlRule(text)
		out.OutboundRules = []godo.OutboundRule{{Protocol: protocol, PortRange: ports, Destinations: &godo.Destinations{Addresses: to}}}
	}
	return out
}

func (d doctl) firewall(ctx context.Context, l doctlLine) (bool, error) {
	var err error
	switch id := l.args[0]; l.words {
	case "compute firewall delete":
		_, err = d.c.Firewalls.Delete(ctx, id)
	case "compute firewall add-rules":
		_, err = d.c.Firewalls.AddRules(ctx, id, doctlRules(l))
	case "compute firewall remove-rules":
		_, err = d.c.Firewalls.RemoveRules(ctx, id, doctlRules(l))
	case "compute firewall add-tags":
		_, err = d.c.Firewalls.AddTags(ctx, id, l.options["tag-names"])
	case "compute firewall remove-tags":
		_, err = d.c.Firewalls.RemoveTags(ctx, id, l.options["tag-names"])
	case "compute firewall add-droplets":
		n, cerr := strconv.Atoi(l.options["droplet-ids"])
		if err = cerr; err == nil {
			_, err = d.c.Firewalls.AddDroplets(ctx, id, n)
		}
	default:
		return false, nil
	}
	return true, err
}

func (d doctl) droplet(ctx context.Context, l doctlLine) (bool, error) {
	id, err := strconv.Atoi(l.args[0])
	if err != nil {
		return false, nil
	}
	it := []godo.Resource{{ID: l.args[0], Type: godo.DropletResourceType}}
	var a *godo.Action
	switch l.words {
	case "compute droplet delete":
		if _, err := d.c.Droplets.Delete(ctx, id); err != nil {
			return true, err
		}
		return true, d.gone(ctx, id)
	case "compute droplet tag":
		_, err = d.c.Tags.TagResources(ctx, l.options["tag-name"], &godo.TagResourcesRequest{Resources: it})
		return true, err
	case "compute droplet untag":
		_, err = d.c.Tags.UntagResources(ctx, l.options["tag-name"], &godo.UntagResourcesRequest{Resources: it})
		return true, err
	case "compute droplet-action power-off":
		a, _, err = d.c.DropletActions.PowerOff(ctx, id)
	case "compute droplet-action shutdown":
		a, _, err = d.c.DropletActions.Shutdown(ctx, id)
	case "compute droplet-action resize":
		a, _, err = d.c.DropletActions.Resize(ctx, id, l.options["size"], false)
	case "compute droplet-action rename":
		a, _, err = d.c.DropletActions.Rename(ctx, id, l.options["droplet-name"])
	default:
		return false, nil
	}
	return true, d.done(ctx, a, err)
}

func (d doctl) reserved(ctx context.Context, l doctlLine) (bool, error) {
	var a *godo.Action
	var err error
	switch ip := l.args[0]; l.words {
	case "compute reserved-ip delete":
		_, err = d.c.ReservedIPs.Delete(ctx, ip)
		return true, err
	case "compute reserved-ip-action unassign":
		a, _, err = d.c.ReservedIPActions.Unassign(ctx, ip)
	case "compute reserved-ip-action assign":
		n, cerr := strconv.Atoi(l.args[len(l.args)-1])
		if cerr != nil {
			return true, cerr
		}
		a, _, err = d.c.ReservedIPActions.Assign(ctx, ip, n)
	default:
		return false, nil
	}
	return true, d.done(ctx, a, err)
}

// done waits for the end of an action.
func (d doctl) done(ctx context.Context, a *godo.Action, err error) error {
	if err != nil {
		return err
	}
	return errors.Join(cloudtest.Await(ctx, func() bool {
		a, _, err = d.c.Actions.Get(ctx, a.ID)
		return err != nil || a.Status != godo.ActionInProgress
	}), err)
}

func (d doctl) gone(ctx context.Context, droplet int) error {
	return cloudtest.Await(ctx, func() bool {
		_, resp, err := d.c.Droplets.Get(ctx, droplet)
		return err != nil && resp != nil && resp.StatusCode == http.StatusNotFound
	})
}

// doNobody looks among the SDK's calls of a service for one that can give a thing another value of a field, those that make
// things left out; it is empty for none.
func doNobody(service reflect.Type, field string) string {
	for i := range service.NumMethod() {
		m := service.Method(i)
		if strings.HasPrefix(m.Name, "Create") {
			continue
		}
		for j := range m.Type.NumIn() {
			in := m.Type.In(j)
			if in.Kind() != reflect.Pointer || in.Elem().Kind() != reflect.Struct {
				continue
			}
			if _, ok := in.Elem().FieldByName(field); ok {
				return m.Name
			}
		}
	}
	return ""
}
