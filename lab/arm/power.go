package arm

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// deleteMachine begins the end of a machine, whatever it is doing.
func (s *Service) deleteMachine(c *call, m *machine) (*answer, *apiError) {
	if err := matchMachine(c, "", m); err != nil {
		return nil, err
	}
	if op := s.st.Operations[s.busy[key(m.ID)]]; op != nil && op.Deletes {
		return s.accepted(c, http.StatusAccepted, op, nil), nil // it is going already
	}
	m.Properties.ProvisioningState = stateDeleting
	id := m.ID
	op, err := s.begin(job{
		family: computeFamily, location: m.Location, target: id, deletes: true, took: s.kindOf(machineType).deleting, work: s.removing(id),
		ended: func(failure *apiError) {
			if m := s.st.Machines[key(id)]; m != nil && failure != nil {
				m.Properties.ProvisioningState = stateFailed
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return s.accepted(c, http.StatusAccepted, op, nil), nil
}

// powerChange is one of the operations on a machine's power.
type powerChange struct {
	// done are the states in which there is nothing to do, during the state meanwhile, after the one that it leads to.
	done          []string
	during, after string
	took          time.Duration
	do            func(ctx context.Context, id, vmID string) *apiError
}

func (s *Service) startMachine(c *call) (*answer, *apiError) {
	return s.power(c, powerChange{done: []string{powerRunning}, during: powerStarting, do: func(ctx context.Context, id, vmID string) *apiError {
		return s.boot(ctx, id, vmID, startTime)
	}})
}

func (s *Service) powerOffMachine(c *call) (*answer, *apiError) {
	return s.power(c, powerChange{done: []string{powerStopped, powerDeallocated}, during: powerStopping, after: powerStopped, took: stopTime, do: s.stop})
}

func (s *Service) deallocateMachine(c *call) (*answer, *apiError) {
	return s.power(c, powerChange{done: []string{powerDeallocated}, during: powerDeallocating, after: powerDeallocated, took: deallocateTime, do: s.stop})
}

func (s *Service) restartMachine(c *call) (*answer, *apiError) {
	s.mu.Lock()
	m := s.st.Machines[key(parent(c.id+"/x"))]
	off := m != nil && m.Kept.Power != powerRunning
	s.mu.Unlock()
	if off {
		return nil, refuse(http.StatusConflict, "OperationNotAllowed", "Cannot restart VM '%s' because it is not running.", lastName(parent(c.id+"/x")))
	}
	return s.power(c, powerChange{during: powerStarting, took: restartTime, do: func(ctx context.Context, id, vmID string) *apiError {
		if err := s.stop(ctx, id, vmID); err != nil {
			return err
		}
		return s.boot(ctx, id, vmID, 0)
	}})
}

// stop ends what a machine does.
func (s *Service) stop(ctx context.Context, id, vmID string) *apiError {
	unlock := s.locks.Lock(vmID)
	defer unlock()
	if err := s.cfg.Physical.StopMachine(ctx, vmID); err != nil {
		return internalError(fmt.Errorf("stop the virtual machine %s: %w", lastName(id), err))
	}
	return nil
}

// power begins a change of a machine's power.
func (s *Service) power(c *call, change powerChange) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := wholeOf(c, s.st.Machines, c.id+"/x")
	if err != nil {
		return nil, err
	}
	if err := s.machineFree(m); err != nil {
		return nil, err
	}
	id, vmID, before := m.ID, m.Properties.VMID, m.Kept.Power
	j := job{family: computeFamily, location: m.Location, target: id, took: change.took}
	idle := false
	for _, state := range change.done {
		idle = idle || state == before
	}
	if idle {
		j.took = time.Second
	} else {
		if change.during == powerStarting {
			m.Kept.Incarnation++
		}
		m.Kept.Power, m.Kept.Since, m.Properties.ProvisioningState = change.during, stamp(), stateUpdating
		j.work = func(ctx context.Context) *apiError { return change.do(ctx, id, vmID) }
		j.ended = func(failure *apiError) { s.powered(id, vmID, before, change.after, failure) }
	}
	op, err := s.begin(j)
	if err != nil {
		return nil, err
	}
	return s.accepted(c, http.StatusAccepted, op, nil), nil
}

// powered ends a change of a machine's power. The caller holds the lock.
func (s *Service) powered(id, vmID, before, after string, failure *apiError) {
	m := s.st.Machines[key(id)]
	if m == nil || m.Properties.VMID != vmID || m.Properties.ProvisioningState == stateDeleting {
		return
	}
	m.Properties.ProvisioningState, m.Kept.Since = stateSucceeded, stamp()
	switch {
	case failure != nil && after != "":
		m.Kept.Power, m.Properties.ProvisioningState = before, stateFailed
	case failure != nil:
		m.Properties.ProvisioningState = stateFailed
	case after != "":
		m.Kept.Power = after
	}
	m.changed()
}
