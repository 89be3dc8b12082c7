package gce

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/api/compute/v1"
)

// How long the cloud takes with a machine, as its operations of small machines show.
const (
	provisioningTime = 4 * time.Second
	stagingTime      = 8 * time.Second
	stoppingTime     = 25 * time.Second
	deletingTime     = 15 * time.Second
	resetTime        = 5 * time.Second
)

func failing(failure *opError) func(context.Context) *opError {
	return func(context.Context) *opError { return failure }
}

// boot returns the work that takes an instance from PROVISIONING to RUNNING. A fresh one that can't start is taken away
// again, as the cloud does.
func (s *Service) boot(path string, id uint64, fresh bool) func(context.Context) *opError {
	return func(ctx context.Context) *opError {
		unlock := s.locks.Lock(path)
		defer unlock()
		s.sleep(provisioningTime)
		if !s.setStatus(path, id, statusStaging) {
			return canceled() // deleted meanwhile
		}
		err := s.networks.Sync(ctx)
		if err == nil {
			s.sleep(stagingTime)
			s.mu.Lock()
			m := s.machine(s.st.Instances[path])
			s.mu.Unlock()
			err = s.cfg.Physical.StartMachine(ctx, m)
		}
		if err != nil {
			s.log.Error("machine did not start", "instance", path, "err", err)
			s.bootFailed(ctx, path, id, fresh)
			return internalError(fmt.Errorf("start instance %s: %w", base(path), err))
		}
		s.mu.Lock()
		unwanted := fresh && s.busy[path] == "delete" // the deletion waits for this to end
		s.mu.Unlock()
		if unwanted {
			return canceled()
		}
		s.setStatus(path, id, statusRunning)
		return nil
	}
}

// canceled is how the creation of an instance ends that is deleted before it runs.
func canceled() *opError {
	return &opError{code: "OPERATION_CANCELED_BY_USER", http: http.StatusConflict, message: "Operation was canceled by user ''."}
}

func (s *Service) bootFailed(ctx context.Context, path string, id uint64, fresh bool) {
	if !fresh {
		s.setStatus(path, id, statusTerminated)
		return
	}
	if err := s.cfg.Physical.DestroyMachine(ctx, formatID(id)); err != nil {
		s.log.Error("machine not removed", "instance", path, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeInstance(path)
}

// setStatus changes an instance's status, if it is still the same instance.
func (s *Service) setStatus(path string, id uint64, status string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.st.Instances[path]
	if i == nil || i.Id != id {
		return false
	}
	i.Status = status
	switch status {
	case statusRunning:
		i.LastStartTimestamp = stamp()
		for _, a := range i.Disks {
			if d := s.st.Disks[a.Source]; d != nil && d.Status == "CREATING" {
				d.Status = "READY"
			}
		}
	case statusTerminated:
		i.LastStopTimestamp = stamp()
	}
	s.save()
	return true
}

func (s *Service) startInstance(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, i, err := find(s, s.st.Instances, c)
	if err != nil {
		return nil, err
	}
	j := job{verb: "start", target: path, targetID: i.Id, took: time.Second}
	switch {
	case i.Status == statusRunning:
		return s.start(c, j) // nothing to do, and no error
	case s.busy[path] != "" || i.Status != statusTerminated:
		return nil, notReady(path)
	}
	zone := base(i.Zone)
	t, _ := s.cat.machineType(zone, base(i.MachineType))
	if failure := s.refuse(i, t, nil, nil); failure != nil {
		j.doomed, j.work = true, failing(failure)
		return s.start(c, j)
	}
	for _, nic := range i.NetworkInterfaces {
		for _, ac := range nic.AccessConfigs {
			if ac.NatIP == "" {
				ip, takeErr := s.cfg.Pool(zoneToRegion(zone)).Take()
				if takeErr != nil {
					return nil, badRequest("No external address is free in region '%s': %v.", zoneToRegion(zone), takeErr)
				}
				ac.NatIP = ip.String()
			}
		}
	}
	i.Status = statusProvisioning
	j.took, j.work = 0, s.boot(path, i.Id, false)
	return s.start(c, j)
}

func (s *Service) stopInstance(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, i, err := find(s, s.st.Instances, c)
	if err != nil {
		return nil, err
	}
	j := job{verb: "stop", target: path, targetID: i.Id, took: time.Second}
	switch {
	case i.Status == statusTerminated:
		return s.start(c, j)
	case s.busy[path] != "" || i.Status != statusRunning:
		return nil, notReady(path)
	}
	i.Status = statusStopping
	id := i.Id
	j.took = stoppingTime
	j.work = func(ctx context.Context) *opError {
		unlock := s.locks.Lock(path)
		defer unlock()
		if !s.setStatus(path, id, statusStopping) {
			return nil
		}
		if err := s.cfg.Physical.StopMachine(ctx, formatID(id)); err != nil {
			s.setStatus(path, id, statusRunning)
			return internalError(fmt.Errorf("stop instance %s: %w", base(path), err))
		}
		s.mu.Lock()
		if i := s.st.Instances[path]; i != nil && i.Id == id {
			s.releaseEphemeral(i)
		}
		s.mu.Unlock()
		s.setStatus(path, id, statusTerminated)
		return nil
	}
	return s.start(c, j)
}

// releaseEphemeral gives back the public addresses that an instance has only while it runs.
func (s *Service) releaseEphemeral(i *compute.Instance) {
	region := zoneToRegion(base(i.Zone))
	for _, nic := range i.NetworkInterfaces {
		for _, ac := range nic.AccessConfigs {
			reserved := false
			for _, a := range s.st.Addresses {
				reserved = reserved || a.AddressType == "EXTERNAL" && a.Address == ac.NatIP
			}
			if !reserved && ac.NatIP != "" {
				s.freed = append(s.freed, publicAddress{region, ac.NatIP})
				ac.NatIP = ""
			}
		}
	}
}

func (s *Service) resetInstance(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, i, err := find(s, s.st.Instances, c)
	if err != nil {
		return nil, err
	}
	if s.busy[path] != "" || i.Status != statusRunning {
		return nil, notReady(path)
	}
	m := s.machine(i)
	return s.start(c, job{verb: "reset", target: path, targetID: i.Id, took: resetTime, work: func(ctx context.Context) *opError {
		unlock := s.locks.Lock(path)
		defer unlock()
		s.mu.Lock()
		running := s.st.Instances[path] != nil && s.st.Instances[path].Status == statusRunning
		s.mu.Unlock()
		if !running {
			return notReady(path).asOpError()
		}
		err := s.cfg.Physical.StopMachine(ctx, m.ID)
		if err == nil {
			err = s.cfg.Physical.StartMachine(ctx, m)
		}
		if err != nil {
			return internalError(fmt.Errorf("reset instance %s: %w", base(path), err))
		}
		return nil
	}})
}

func (s *Service) deleteInstance(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, i, err := find(s, s.st.Instances, c)
	if err != nil {
		return nil, err
	}
	if i.DeletionProtection {
		return nil, invalidUsage("Resource cannot be deleted if it's protected against deletion.")
	}
	if s.busy[path] == "delete" {
		return nil, notReady(path)
	}
	if i.Status == statusRunning {
		i.Status = statusStopping
	}
	id := i.Id
	return s.start(c, job{verb: "delete", target: path, targetID: id, took: deletingTime, work: func(ctx context.Context) *opError {
		unlock := s.locks.Lock(path)
		defer unlock()
		if !s.setStatus(path, id, statusStopping) {
			return nil
		}
		if err := s.cfg.Physical.DestroyMachine(ctx, formatID(id)); err != nil {
			return internalError(fmt.Errorf("delete instance %s: %w", base(path), err))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.removeInstance(path)
		return nil
	}})
}

// removeInstance takes an instance out of the records, with the disks that go with it and its passing addresses. The
// machine itself is ended before, and its interface goes when the networks are brought up to date.
func (s *Service) removeInstance(path string) {
	i := s.st.Instances[path]
	if i == nil {
		return
	}
	s.releaseEphemeral(i)
	delete(s.st.Instances, path)
	delete(s.st.Guest, path)
	for _, a := range i.Disks {
		if d := s.st.Disks[a.Source]; d != nil {
			if a.AutoDelete {
				delete(s.st.Disks, a.Source)
				continue
			}
			d.Status, d.LastDetachTimestamp = "READY", stamp()
		}
	}
}
