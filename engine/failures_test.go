package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/engine/enginetest"
	"github.com/skyweld/skyweld/remote"
	"github.com/skyweld/skyweld/store"
)

const replaceFile = smallFile + "  repair: {failedMachines: replace}\n"

// kubeadmFails lets kubeadm fail on the machines of one node, as often as told.
func (s *scene) kubeadmFails(node string, times *int) {
	s.world.Fail = func(name, command string) error {
		if name != node || !strings.HasSuffix(command, "kubeadm") || *times == 0 {
			return nil
		}
		*times--
		return fmt.Errorf("%s: %w", name, &remote.ExitError{Command: command, Status: 1, Output: strings.Repeat("[preflight] running\n", 300) +
			"error execution phase preflight: [ERROR Port-10250]: Port 10250 is in use\ntoken " + canary + "-acc-aws\n"})
	}
}

func (s *scene) machineID(uid, node string) string {
	s.t.Helper()
	for _, c := range s.clouds {
		for _, o := range c.Objects(uid) {
			if strings.HasSuffix(o.Key, "-node-"+node) {
				return o.ID
			}
		}
	}
	return ""
}

func (s *scene) condition(uid string) string {
	s.t.Helper()
	c, err := s.engine.store.GetClusterByUID(s.t.Context(), uid)
	if err != nil || len(c.Conditions) == 0 {
		s.t.Fatalf("the cluster has no condition: %v", err)
	}
	if c.Phase != store.Degraded {
		s.t.Errorf("the cluster is %s", c.Phase)
	}
	return c.Conditions[0].Message
}

// TestKubeadmFailsKept keeps the machine: the error tells what kubeadm said, and the next run tries again on it.
func TestKubeadmFailsKept(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	times := 1
	s.kubeadmFails("demo-web-1", &times)
	uid := s.apply(smallFile)
	s.turn(uid)
	text := s.condition(uid)
	wantAll(t, text, "kubeadm join failed in phase preflight on node demo-web-1 (exit status 1); the end of its output", "Port 10250 is in use")
	if strings.Contains(text, canary) {
		t.Error("a secret is shown")
	}
	if len(text) > 2*kubeadmTail {
		t.Errorf("the error has %d bytes", len(text))
	}
	first := s.machineID(uid, "demo-web-1")
	nodes, err := s.engine.Nodes(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if n.Name == "demo-web-1" && (n.Status != "Failed" || n.Failure == nil || n.Failure.Message != "kubeadm join failed in phase preflight") {
			t.Errorf("%s is %s: %+v", n.Name, n.Status, n.Failure)
		}
	}
	s.ready(uid)
	if now := s.machineID(uid, "demo-web-1"); now != first {
		t.Errorf("the machine was %s and is %s", first, now)
	}
	s.delete(uid)
	s.asBefore()
}

// TestKubeadmFailsReplaced makes the machine anew, a few times at most.
func TestKubeadmFailsReplaced(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	times := 1
	s.kubeadmFails("demo-web-1", &times)
	uid := s.apply(replaceFile)
	s.turn(uid)
	first := s.machineID(uid, "demo-web-1")
	p, err := s.engine.PlanReconcile(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, step := range p.Graph.Steps {
		reasons = append(reasons, step.ID+" "+step.Reason)
	}
	wantAll(t, strings.Join(reasons, "\n"), "replace/two-node-demo-web-1 it is given up: kubeadm join failed in phase preflight")
	s.ready(uid)
	if now := s.machineID(uid, "demo-web-1"); now == first {
		t.Error("the machine was not replaced")
	}
	for _, f := range s.factsOf(uid) {
		if f.Failure != nil {
			t.Errorf("%s: a failure is still on record: %+v", f.Name, f.Failure)
		}
	}
	s.delete(uid)
	s.asBefore()
}

// TestKubeadmFailsForEver stops making machines anew after a few.
func TestKubeadmFailsForEver(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	times := -1
	s.kubeadmFails("demo-web-1", &times)
	uid := s.apply(replaceFile)
	seen := map[string]bool{}
	for range maxRemakes + 4 {
		s.turn(uid)
		seen[s.machineID(uid, "demo-web-1")] = true
	}
	if len(seen) != maxRemakes+1 {
		t.Errorf("there were %d machines, want %d", len(seen), maxRemakes+1)
	}
	if got := s.events(uid, "MachineKept"); len(got) == 0 {
		t.Errorf("events: %v", s.events(uid, ""))
	}
	times = 0
	s.ready(uid)
	s.delete(uid)
	s.asBefore()
}

// TestControlPlaneFails has kubeadm fail on the third control-plane node: it is replaced only while the others hold.
func TestControlPlaneFails(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	times := 1
	s.kubeadmFails("demo-one-cp-2", &times)
	uid := s.apply(largeFile + "  repair: {failedMachines: replace}\n")
	s.turn(uid)
	first := s.machineID(uid, "demo-one-cp-2")
	s.ready(uid)
	if n := len(s.world.Members); n != 3 {
		t.Errorf("etcd has %d members", n)
	}
	if first == "" {
		t.Error("there was no machine")
	}
	s.delete(uid)
	s.asBefore()
}

// TestSilentMachine has a machine that never takes SSH: a deadline, the console, and another try or another machine.
func TestSilentMachine(t *testing.T) {
	for file, replaced := range map[string]bool{smallFile: false, replaceFile: true} {
		s := newScene(t, cloudtest.Options{})
		s.engine.patience.ssh = 50 * time.Millisecond
		silent := true
		s.world.Reach = func(_ context.Context, m enginetest.Machine) error {
			if silent && m.Name == "demo-web-1" {
				return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
			}
			return nil
		}
		uid := s.apply(file)
		s.turn(uid)
		first := s.machineID(uid, "demo-web-1")
		wantAll(t, s.condition(uid), "prepare node demo-web-1", "did not take SSH for 50ms", "connection was refused", "the end of its console:\ntwo-node-demo-web-1")
		silent = false
		s.ready(uid)
		if now := s.machineID(uid, "demo-web-1"); (now != first) != replaced {
			t.Errorf("the machine was %s and is %s; want it replaced: %v", first, now, replaced)
		}
		s.delete(uid)
		s.asBefore()
	}
}

// TestDeleteEndsWaiting has a machine that never takes SSH, and a deletion that doesn't wait for it.
func TestDeleteEndsWaiting(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	s.engine.patience.ssh, s.engine.patience.lease = time.Hour, time.Minute
	tried := make(chan struct{}, 1)
	s.world.Reach = func(ctx context.Context, _ enginetest.Machine) error {
		select {
		case tried <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return ctx.Err()
	}
	uid := s.apply(smallFile)
	turned := make(chan struct{})
	go func() {
		defer close(turned)
		s.turn(uid)
	}()
	<-tried
	if _, err := s.engine.Delete(t.Context(), "demo", "tester"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-turned:
	case <-time.After(30 * time.Second):
		t.Fatal("the run still waits for machines that are to be deleted")
	}
	if failed := s.events(uid, "StepFailed"); len(failed) > 0 {
		t.Errorf("what was broken off is told as a failure: %q", failed)
	}
	s.gone(uid)
	s.asBefore()
}

func (s *scene) factsOf(uid string) []*Facts {
	s.t.Helper()
	c, err := s.engine.store.GetClusterByUID(s.t.Context(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	facts, _, _, err := s.engine.recall(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return facts.all()
}

func TestLastLines(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "  one\r\ntwo\n": "one\ntwo", "\x1b[0;37mCPU\x1b[0m: \x1b[1menabled\x07": "CPU: enabled",
		"first line\nsecond\nthird": "second\nthird", "\xff\xfeend": "?end", strings.Repeat("x", 40): strings.Repeat("x", 20),
	} {
		if got := lastLines(text, 20); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestContactError(t *testing.T) {
	at := netip.MustParseAddr("203.0.113.5")
	for want, err := range map[string]error{
		"another SSH host key":            fmt.Errorf("ssh to a: %w", remote.ErrHostKey),
		"refused the engine's SSH key":    errors.New("ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey]"),
		"the connection was refused":      &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"nothing came back":               &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded},
		"at the last try: something else": errors.New("something else"),
	} {
		got := contactError("a", at, time.Minute, err).Error()
		wantAll(t, got, want, "node a (203.0.113.5)")
	}
}
