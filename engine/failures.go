package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/remote"
	"github.com/skyweld/skyweld/spec"
)

// Failure is how a machine failed before it was part of the cluster.
type Failure struct {
	// Machine is the cloud's id of the machine it is about.
	Machine string `json:"machine"`
	// Message says in one line what failed.
	Message string    `json:"message"`
	At      time.Time `json:"at"`
	// Contact says that the machine never answered; it is over as soon as it does.
	Contact bool `json:"contact,omitempty"`
	// Before counts the machines that failed in a row before this one.
	Before int `json:"before,omitempty"`
}

// maxRemakes is how many machines in a row are made anew for one node. What fails so often is no accident of a machine, and
// the last one stays to be looked into.
const maxRemakes = 3

// failure says how a node's present machine failed, empty when it didn't, and whether it is to be made again.
func (s *survey) failure(f *Facts, machine string) (why string, remake bool) {
	if f == nil || f.Failure == nil || f.Joined {
		return "", false
	}
	here := slices.ContainsFunc(s.got, func(g plan.Observed) bool {
		return g.Key == machine && g.ID == f.Failure.Machine && g.State != cloud.Gone
	})
	if !here {
		return "", false
	}
	if s.spec.Spec.Repair.FailedMachines != spec.ReplaceFailed {
		return f.Failure.Message, false
	}
	return f.Failure.Message, f.Failure.Before < maxRemakes
}

// failed puts on record how a node's machine failed. That it can't be recorded is no news beside the failure itself.
func (r *run) failed(ctx context.Context, name, machine string, contact bool, message string) {
	failure := Failure{Machine: machine, Message: r.scrubber.clean(message), At: time.Now().UTC(), Contact: contact}
	if err := r.changeFacts(context.WithoutCancel(ctx), name, func(f *Facts) {
		if was := f.Failure; was != nil {
			failure.Before = was.Before
			if was.Machine != machine {
				failure.Before++
			}
		}
		f.Failure = &failure
	}); err != nil {
		r.e.log.Warn("a machine's failure could not be recorded", "cluster", r.spec.Metadata.Name, "run", r.id, "node", name, "err", err)
	}
	if r.spec.Spec.Repair.FailedMachines == spec.ReplaceFailed && failure.Before >= maxRemakes {
		r.warn(ctx, "MachineKept", name, fmt.Sprintf("%d machines in a row failed for this node, so the last one, %s, is kept to be looked into: %s", failure.Before+1, machine, message))
	}
}

// contactError says in words that a machine didn't let the engine in: how long it was tried, and what came of the last try.
func contactError(name string, at netip.Addr, patience time.Duration, err error) error {
	who := fmt.Sprintf("node %s (%s)", name, at)
	switch {
	case errors.Is(err, remote.ErrHostKey):
		return fmt.Errorf("%s shows another SSH host key than the one it was made with: its user data was not applied, or another machine answers there: %w", who, err)
	case strings.Contains(err.Error(), "unable to authenticate"):
		return fmt.Errorf("%s refused the engine's SSH key for %s: its user data was not applied, or root may not log in: %w", who, patience, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s did not take SSH for %s: at the last try the connection was refused, so the machine is up and its sshd isn't: %w", who, patience, err)
	case cloud.ClassOf(err) == cloud.Unavailable:
		return fmt.Errorf("%s did not answer SSH for %s: at the last try nothing came back; either it never came up, or something on the way doesn't let the engine in: %w", who, patience, err)
	}
	return fmt.Errorf("%s did not let the engine in by SSH for %s; at the last try: %w", who, patience, err)
}

// consoleTail is how much of a console an error shows, in bytes.
const consoleTail = 2000

// withConsole adds what a machine wrote to its console to the error of not reaching it.
func (r *run) withConsole(ctx context.Context, site string, machine cloud.Object, err error) error {
	st := r.sites[site]
	if st == nil {
		return err
	}
	c, ok := st.driver.(cloud.Consoler)
	if !ok {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	out, cerr := c.Console(ctx, machine)
	switch {
	case cerr != nil:
		return fmt.Errorf("%w; its console could not be read: %w", err, cerr)
	case len(out) == 0:
		return fmt.Errorf("%w; its console is empty", err)
	}
	return fmt.Errorf("%w; the end of its console:\n%s", err, lastLines(string(out), consoleTail))
}

// terminalCodes are what colours text in terminals (ECMA-48's control sequences).
var terminalCodes = regexp.MustCompile(`\x1b\[[0-9;?]*[ -/]*[@-~]`)

// lastLines is the end of a text, at most so many bytes, beginning at the beginning of a line where that is cut. What can't
// be printed is left out: it could change what a terminal shows.
func lastLines(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, terminalCodes.ReplaceAllString(strings.ToValidUTF8(text, "?"), ""))
	if text = strings.TrimSpace(text); len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	if _, rest, ok := strings.Cut(text, "\n"); ok {
		text = rest
	}
	return strings.ToValidUTF8(text, "?")
}

// kubeadmPhase finds the phase in which kubeadm says it failed.
var kubeadmPhase = regexp.MustCompile(`error execution phase ([a-z/-]+)`)

// kubeadmTail is how much of kubeadm's output an error shows, in bytes.
const kubeadmTail = 3000

// kubeadmError puts into words that kubeadm failed on a machine, with its own output. ok is false for errors of the way
// there: they say nothing about the machine.
func kubeadmError(name, action string, err error) (full error, short string, ok bool) {
	exit, ok := errors.AsType[*remote.ExitError](err)
	if !ok {
		return err, "", false
	}
	output, _, _ := strings.Cut(exit.Output, "\nskyweld agent kubeadm: ") // the agent says the same again
	short = "kubeadm " + action + " failed"
	if found := kubeadmPhase.FindStringSubmatch(output); found != nil {
		short += " in phase " + found[1]
	}
	return fmt.Errorf("%s on node %s (exit status %d); the end of its output:\n%s", short, name, exit.Status, lastLines(output, kubeadmTail)), short, true
}
