package digitalocean

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
	placeTime    = 8 * time.Second // until a new Droplet has its addresses
	bootTime     = 25 * time.Second
	powerTime    = 6 * time.Second
	shutdownTime = 12 * time.Second
	destroyTime  = 10 * time.Second
	addressTime  = 4 * time.Second
	volumeTime   = 5 * time.Second
	recordTime   = 3 * time.Second // what changes nothing but a record
	firewallTime = 2 * time.Second
)

// pause waits as long as the real cloud would take; false when the service closes meanwhile.
func (s *Service) pause(whole time.Duration) bool {
	return backend.Pause(s.ctx.Done(), s.cfg.Profile.Delay(whole))
}

// perform does what an action says. One that the service's end interrupts stays in progress, and Resume goes on with it.
func (s *Service) perform(id int) {
	s.mu.Lock()
	a := s.rec.Actions[id]
	var about action
	if a != nil {
		about = *a
	}
	s.mu.Unlock()
	if a == nil || about.Status != inProgress {
		return
	}
	err := s.steps(about)
	if s.ctx.Err() != nil {
		return
	}
	if err != nil {
		s.log.Error("action failed", "action", about.Type, "droplet", about.Droplet, "reserved", about.Reserved, "error", err)
	}
	s.update(func() {
		if a := s.rec.Actions[id]; a != nil {
			a.Completed, a.Status = s.now(), completed
			if err != nil {
				a.Status = errored
			}
		}
	})
}

// steps are what each type of action does.
func (s *Service) steps(a action) error {
	switch a.Type {
	case actCreate:
		return s.create(a.Droplet)
	case actDestroy:
		return s.destroy(a.Droplet)
	case actPowerOff:
		return s.halt(a.Droplet, powerTime)
	case actShutdown:
		return s.halt(a.Droplet, shutdownTime)
	case actPowerOn:
		return s.boot(a.Droplet, powerTime)
	case actPowerCycle, actReboot:
		return errors.Join(s.halt(a.Droplet, 0), s.boot(a.Droplet, powerTime))
	case actRename, actResize:
		s.pause(recordTime)
		s.changeDroplet(a.Droplet, func(d *droplet) {
			if a.Name != "" {
				d.Name = a.Name
			}
			if a.Size != "" {
				d.Size = a.Size
			}
		})
		return nil
	case actAssign, actUnassign:
		return s.moveAddress(a)
	case actAttach, actDetach, actGrow:
		s.pause(volumeTime)
		return nil // the record says it already
	}
	return fmt.Errorf("no action is called %s", a.Type)
}

// changeDroplet changes a Droplet's record, where it still exists, and returns the version of the networks that follows.
func (s *Service) changeDroplet(id int, change func(*droplet)) int64 {
	return s.update(func() {
		if d := s.rec.Droplets[id]; d != nil {
			change(d)
		}
	})
}

// machineOf describes a Droplet's machine.
func (s *Service) machineOf(id int) (world.Machine, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.rec.Droplets[id]
	if d == nil {
		return world.Machine{}, false
	}
	size, _ := s.cat.size(d.Size)
	return world.Machine{ID: machineID(id), Hostname: d.Name, Name: d.Name, Datasource: "DigitalOcean", VCPUs: size.vcpus, MemoryMiB: size.memoryMiB}, true
}

// create gives a new Droplet its place in the network and boots it. One that can't be made goes away again.
func (s *Service) create(id int) error {
	if !s.pause(placeTime) {
		return nil
	}
	s.changeDroplet(id, func(d *droplet) { d.Placed = true })
	err := s.boot(id, bootTime-placeTime)
	if err != nil && s.ctx.Err() == nil {
		err = errors.Join(err, s.remove(id))
	}
	return err
}

// boot starts a Droplet's machine once its network is there.
func (s *Service) boot(id int, takes time.Duration) error {
	m, there := s.machineOf(id)
	if !there {
		return nil
	}
	if err := s.plumber.Wait(s.ctx, s.changeDroplet(id, func(*droplet) {})); err != nil {
		return fmt.Errorf("network of Droplet %d: %w", id, err)
	}
	if err := s.cfg.Physical.StartMachine(s.ctx, m); err != nil {
		return fmt.Errorf("start Droplet %d: %w", id, err)
	}
	if s.pause(takes) {
		s.changeDroplet(id, func(d *droplet) { d.Status = statusActive })
	}
	return nil
}

// halt stops a Droplet's machine.
func (s *Service) halt(id int, takes time.Duration) error {
	if err := s.until("stop", id, s.cfg.Physical.StopMachine); err != nil {
		return err
	}
	if s.pause(takes) {
		s.changeDroplet(id, func(d *droplet) { d.Status = statusOff })
	}
	return nil
}

// destroy ends a machine and all that goes with it.
func (s *Service) destroy(id int) error {
	if !s.pause(destroyTime) {
		return nil
	}
	return s.remove(id)
}

// remove takes a Droplet away: its reserved address and its volumes stay, without it. Its own public address is somebody
// else's only when the routers have let go of it.
func (s *Service) remove(id int) error {
	if err := s.until("destroy", id, s.cfg.Physical.DestroyMachine); err != nil {
		return err
	}
	var gone droplet
	version := s.update(func() {
		d := s.rec.Droplets[id]
		if d == nil {
			return
		}
		gone = *d
		delete(s.rec.Droplets, id)
		delete(s.rec.Assigned, d.urn())
		for _, r := range s.rec.Reserved {
			if r.Droplet == id {
				r.Droplet = 0
			}
		}
		for _, v := range s.rec.Volumes {
			if v.Droplet == id {
				v.Droplet = 0
			}
		}
		for _, f := range s.rec.Firewalls {
			f.Droplets = without(f.Droplets, id)
			delete(f.Waiting, id)
		}
	})
	if !gone.Public.IsValid() {
		return nil
	}
	if err := s.plumber.Wait(s.ctx, version); err != nil {
		return fmt.Errorf("network of Droplet %d: %w", id, err)
	}
	s.cfg.Pools(gone.Region).Put(gone.Public)
	return nil
}

// until repeats what must succeed in the end, with growing pauses.
func (s *Service) until(what string, id int, do func(context.Context, string) error) error {
	return backend.Insist(s.ctx, func(ctx context.Context) error { return do(ctx, machineID(id)) }, func(err error, after time.Duration) {
		s.log.Error("Droplet: trying again", "doing", what, "droplet", id, "error", err, "after", after)
	})
}

// Resume makes the recorded networks and machines real again, and goes on with what was going on. It returns when the
// machines that were running run; one that can't is off and named in the error.
func (s *Service) Resume(ctx context.Context) error {
	s.mu.Lock()
	version := s.changed()
	var actions, active []int
	for _, a := range sorted(s.rec.Actions) {
		if a.Status == inProgress {
			actions = append(actions, a.ID)
		}
	}
	for _, d := range sorted(s.rec.Droplets) {
		if p := s.pending(d.ID); d.Status == statusActive && (p == nil || p.Type != actDestroy) {
			active = append(active, d.ID)
		}
	}
	for _, f := range s.rec.Firewalls {
		f.Waiting = nil
	}
	s.mu.Unlock()
	if err := s.plumber.Wait(ctx, version); err != nil {
		return fmt.Errorf("networks of DigitalOcean: %w", err)
	}
	var group sync.WaitGroup
	errs := make([]error, len(active))
	for i, id := range active {
		group.Go(func() {
			m, _ := s.machineOf(id)
			if err := s.cfg.Physical.StartMachine(ctx, m); err != nil {
				errs[i] = fmt.Errorf("start Droplet %d (%s) again: %w", id, m.Hostname, err)
				s.changeDroplet(id, func(d *droplet) { d.Status = statusOff })
			}
		})
	}
	group.Wait()
	for _, id := range actions {
		s.work.Start(func() { s.perform(id) })
	}
	s.watching.Do(func() { s.work.Start(s.watch) })
	return errors.Join(append(errs, s.persist())...)
}

// watchEvery is how often running machines are looked after.
const watchEvery = 2 * time.Second

// watch notices machines that shut themselves down: their Droplets are off.
func (s *Service) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		var down []int
		for _, d := range s.rec.Droplets {
			if d.Status == statusActive && s.pending(d.ID) == nil && s.cfg.Physical.MachineState(machineID(d.ID)) == world.Stopped {
				down = append(down, d.ID)
			}
		}
		s.mu.Unlock()
		for _, id := range down {
			s.changeDroplet(id, func(d *droplet) {
				if s.pending(id) == nil {
					d.Status = statusOff
				}
			})
		}
	}
}
