package ec2

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skyweld/skyweld/lab/internal/backend"
	"github.com/skyweld/skyweld/lab/world"
)

// How long the real cloud takes.
const (
	bootTime     = 12 * time.Second
	stopTime     = 30 * time.Second
	destroyTime  = 35 * time.Second
	checksPassed = 90 * time.Second // from running until the status checks say ok
)

// machines sees to it that one thing at a time is done to each machine.
type machines struct {
	mu   sync.Mutex
	turn map[string]*turn
}

type turn struct {
	token   chan struct{} // holds one value while nobody has the turn
	waiting int
	cancel  context.CancelFunc // of who has it
}

func newMachines() *machines { return &machines{turn: map[string]*turn{}} }

// acquire waits for a machine's turn. With interrupt, who has it is told to give up.
func (m *machines) acquire(ctx context.Context, id string, interrupt bool) (context.Context, func()) {
	m.mu.Lock()
	t := m.turn[id]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		t.token <- struct{}{}
		m.turn[id] = t
	}
	t.waiting++
	if interrupt && t.cancel != nil {
		t.cancel()
	}
	m.mu.Unlock()
	<-t.token
	own, cancel := context.WithCancel(ctx)
	m.mu.Lock()
	t.cancel = cancel
	m.mu.Unlock()
	return own, func() {
		cancel()
		m.mu.Lock()
		t.cancel = nil
		if t.waiting--; t.waiting == 0 {
			delete(m.turn, id)
		}
		m.mu.Unlock()
		t.token <- struct{}{}
	}
}

// pause waits out what is left of the time that the real cloud would have taken since began.
func (s *Service) pause(ctx context.Context, began time.Time, whole time.Duration) {
	backend.Pause(ctx.Done(), s.cfg.Profile.Delay(whole)-time.Since(began))
}

// machineOf describes an instance's machine; ok is false when the instance isn't in one of the states.
func (s *Service) machineOf(regionName, id string, states ...string) (m world.Machine, network string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.rec.Regions[regionName].Instances[id]
	if i == nil {
		return m, "", false
	}
	for _, state := range states {
		ok = ok || i.State == state
	}
	t := s.cfg.Catalogue.Types[i.Type]
	name := s.rec.Regions[regionName].Tags[id]["Name"]
	return world.Machine{ID: id, Hostname: shortName(i.Address), Name: name, Datasource: "Ec2", VCPUs: t.VCPUs, MemoryMiB: t.MemoryMiB}, i.VPC, ok
}

// boot starts a pending instance's machine once its network is there.
func (s *Service) boot(regionName, id string) {
	ctx, release := s.machines.acquire(s.ctx, id, false)
	defer release()
	began := time.Now()
	m, network, ok := s.machineOf(regionName, id, pending)
	if !ok {
		return
	}
	if err := s.power(ctx, m, network); err != nil {
		if ctx.Err() == nil {
			s.failed(regionName, id, err)
		}
		return // interrupted: who did it goes on from here, or Resume
	}
	s.pause(ctx, began, bootTime)
	if ctx.Err() != nil {
		return
	}
	s.update(regionName, func(r *region) bool {
		i := r.Instances[id]
		if i == nil || i.State != pending {
			return false
		}
		i.State, i.RunningSince = running, s.cfg.Clock()
		return true
	})
}

// power brings a machine up in its network.
func (s *Service) power(ctx context.Context, m world.Machine, network string) error {
	if err := s.fabric.wait(ctx, network); err != nil {
		return fmt.Errorf("network %s of instance %s: %w", network, m.ID, err)
	}
	if err := s.cfg.Physical.StartMachine(ctx, m); err != nil {
		return fmt.Errorf("start instance %s: %w", m.ID, err)
	}
	return nil
}

// failed records that a machine could not be started: a new instance is terminated, an old one is stopped.
func (s *Service) failed(regionName, id string, cause error) {
	s.log.Error("instance could not be started", "instance", id, "region", regionName, "error", cause)
	undo := s.cfg.Physical.StopMachine
	if s.isNew(regionName, id) {
		undo = s.cfg.Physical.DestroyMachine
	}
	if err := undo(s.ctx, id); err != nil {
		s.log.Error("failed instance could not be removed", "instance", id, "error", err)
	}
	s.update(regionName, func(r *region) bool {
		i := r.Instances[id]
		if i == nil || i.State == terminated || i.State == shuttingDown {
			return false
		}
		i.StateReason, i.StateMessage = "Server.InternalError", "Server.InternalError: Internal error on launch"
		i.Reason = "Server.InternalError"
		if i.RunningSince.IsZero() {
			s.end(r, i)
		} else {
			s.halt(r, i)
		}
		return true
	})
}

// isNew says whether an instance never ran.
func (s *Service) isNew(regionName, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.rec.Regions[regionName].Instances[id]
	return i != nil && i.RunningSince.IsZero()
}

// stop stops a stopping instance's machine.
func (s *Service) stop(regionName, id string) {
	ctx, release := s.machines.acquire(s.ctx, id, true)
	defer release()
	began := time.Now()
	s.until(ctx, "stop", id, s.cfg.Physical.StopMachine)
	s.pause(ctx, began, stopTime)
	if ctx.Err() != nil {
		return
	}
	s.update(regionName, func(r *region) bool {
		i := r.Instances[id]
		if i == nil || i.State != stopping {
			return false
		}
		s.halt(r, i)
		return true
	})
}

// halt records that an instance is stopped: its automatic public address is gone.
func (s *Service) halt(r *region, i *instance) {
	i.State = stopped
	for _, n := range r.interfacesOf(i.ID) {
		s.releasePublic(r, n)
	}
}

// terminate ends a machine and all that goes with it.
func (s *Service) terminate(regionName, id string) {
	ctx, release := s.machines.acquire(s.ctx, id, true)
	defer release()
	began := time.Now()
	s.until(ctx, "terminate", id, s.cfg.Physical.DestroyMachine)
	s.pause(ctx, began, destroyTime)
	if ctx.Err() != nil {
		return
	}
	s.update(regionName, func(r *region) bool {
		i := r.Instances[id]
		if i == nil || i.State == terminated {
			return false
		}
		s.end(r, i)
		return true
	})
}

// end records that an instance is terminated: its interfaces and volumes go unless they were to stay.
func (s *Service) end(r *region, i *instance) {
	i.State, i.TerminatedAt = terminated, s.cfg.Clock()
	for _, n := range r.interfacesOf(i.ID) {
		if n.Attachment.DeleteOnTermination {
			s.removeInterface(r, n)
			continue
		}
		n.Attachment = nil
		s.releasePublic(r, n)
	}
	for _, v := range r.volumesOf(i.ID) {
		if v.DeleteOnTermination {
			delete(r.Volumes, v.ID)
			delete(r.Tags, v.ID)
			continue
		}
		v.Instance, v.Device = "", ""
	}
}

// reboot restarts a running instance's machine.
func (s *Service) reboot(regionName, id string) {
	ctx, release := s.machines.acquire(s.ctx, id, false)
	defer release()
	m, network, ok := s.machineOf(regionName, id, running)
	if !ok {
		return
	}
	err := s.cfg.Physical.StopMachine(ctx, id)
	if err == nil {
		err = s.power(ctx, m, network)
	}
	if err != nil && ctx.Err() == nil {
		s.failed(regionName, id, err)
	}
}

// until repeats what must succeed in the end, with growing pauses.
func (s *Service) until(ctx context.Context, what, id string, do func(context.Context, string) error) {
	_ = backend.Insist(ctx, func(ctx context.Context) error { return do(ctx, id) }, func(err error, after time.Duration) {
		s.log.Error("instance: trying again", "doing", what, "instance", id, "error", err, "after", after)
	}) // its only error is that of the context, which who calls looks at
}

// Resume makes the recorded networks and machines real again, and goes on with what was going on. It returns when the
// machines that were running run; one that can't is stopped and named in the error.
func (s *Service) Resume(ctx context.Context) error {
	type found struct{ region, id, state string }
	var all []found
	s.mu.Lock()
	for _, name := range sortedKeys(s.rec.Regions) {
		r := s.rec.Regions[name]
		s.fabric.set(name, project(r))
		for _, i := range sorted(r.Instances) {
			all = append(all, found{name, i.ID, i.State})
		}
	}
	s.mu.Unlock()
	var group sync.WaitGroup
	errs := make([]error, len(all))
	for at, i := range all {
		switch i.state {
		case pending:
			s.work.Start(func() { s.boot(i.region, i.id) })
		case stopping:
			s.work.Start(func() { s.stop(i.region, i.id) })
		case shuttingDown:
			s.work.Start(func() { s.terminate(i.region, i.id) })
		case running:
			group.Go(func() { errs[at] = s.resume(ctx, i.region, i.id) })
		}
	}
	group.Wait()
	s.watching.Do(func() { s.work.Start(s.watch) })
	return errors.Join(errs...)
}

func (s *Service) resume(ctx context.Context, regionName, id string) error {
	ctx, release := s.machines.acquire(ctx, id, false)
	defer release()
	m, network, ok := s.machineOf(regionName, id, running)
	if !ok {
		return nil
	}
	err := s.power(ctx, m, network)
	if err != nil && ctx.Err() == nil {
		s.failed(regionName, id, err)
	}
	return err
}

// watchEvery is how often running machines are looked after.
const watchEvery = 2 * time.Second

// watch notices machines that shut themselves down.
func (s *Service) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			s.noticeShutdowns()
		}
	}
}

// noticeShutdowns does with instances whose machine has stopped by itself what their shutdown behavior says.
func (s *Service) noticeShutdowns() {
	type found struct{ region, id string }
	var all []found
	s.mu.Lock()
	for _, r := range s.rec.Regions {
		for _, i := range r.Instances {
			if i.State == running {
				all = append(all, found{r.Name, i.ID})
			}
		}
	}
	s.mu.Unlock()
	for _, f := range all {
		if !s.machines.idle(f.id) || s.cfg.Physical.MachineState(f.id) != world.Stopped {
			continue
		}
		next := s.stop
		s.update(f.region, func(r *region) bool {
			i := r.Instances[f.id]
			if i == nil || i.State != running || !s.machines.idle(f.id) {
				next = nil
				return false
			}
			i.State = stopping
			if i.ShutdownBehavior == "terminate" {
				i.State, next = shuttingDown, s.terminate
			}
			i.StateReason, i.StateMessage = "Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
			return true
		})
		if next != nil {
			s.work.Start(func() { next(f.region, f.id) })
		}
	}
}

// idle says whether nothing is being done to a machine.
func (m *machines) idle(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.turn[id] == nil
}
