package arm

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
)

// The states of a machine's power, as Azure writes them.
const (
	powerStarting     = "starting"
	powerRunning      = "running"
	powerStopping     = "stopping"
	powerStopped      = "stopped"
	powerDeallocating = "deallocating"
	powerDeallocated  = "deallocated"
)

// How long the cloud takes with a machine.
const (
	bootTime       = 25 * time.Second
	updateTime     = 3 * time.Second
	stopTime       = 20 * time.Second
	deallocateTime = 40 * time.Second
	startTime      = 15 * time.Second
	restartTime    = 20 * time.Second
)

// putMachine makes a machine with its system disk, or changes the few things of one that the lab lets be changed.
func (s *Service) putMachine(c *call) (*answer, *apiError) {
	in, err := decode[machine](c.body)
	if err != nil {
		return nil, err
	}
	in.Kept = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.st.Machines[key(c.id)]; old != nil {
		return s.changeMachine(c, in, old)
	}
	given := in.ETag
	if err := s.admit(c, machineType, &in.head, nil); err != nil {
		return nil, err
	}
	if err := matchMachine(c, given, nil); err != nil {
		return nil, err
	}
	taken := s.newMachine(in)
	if taken != nil && taken.code != diskExists {
		return nil, taken
	}
	s.st.Machines[key(in.ID)] = in
	id, vmID := in.ID, in.Properties.VMID
	op, err := s.begin(job{
		family: computeFamily, location: in.Location, target: id,
		work: func(ctx context.Context) *apiError {
			if taken != nil {
				s.sleep(updateTime)
				return taken
			}
			return s.boot(ctx, id, vmID, bootTime)
		},
		ended: func(failure *apiError) {
			if m := s.st.Machines[key(id)]; m != nil && m.Properties.VMID == vmID {
				settleMachine(m, failure)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	a := s.accepted(c, http.StatusCreated, op, s.later(in))
	a.header.Set("Etag", in.ETag)
	return a, nil
}

// settleMachine ends a machine's creation, unless it is being deleted meanwhile.
func settleMachine(m *machine, failure *apiError) {
	m.Kept.Unmade = failure != nil
	if m.Properties.ProvisioningState == stateDeleting {
		return
	}
	m.Properties.ProvisioningState, m.Kept.Since = stateSucceeded, stamp()
	if failure != nil {
		m.Properties.ProvisioningState = stateFailed
	}
	m.changed()
}

// diskExists is the code of a creation whose disk can't be had under its name. Azure finds that out only when it makes the
// disk: the machine's record is there by then, and stays as one that failed.
const diskExists = "ConflictingUserInput"

// newMachine checks a new machine, takes its interfaces and makes its disks.
func (s *Service) newMachine(in *machine) *apiError {
	size, err := s.checkSize(in)
	if err != nil {
		return err
	}
	if err := checkFeatures(in); err != nil {
		return err
	}
	if err := checkProfile(in); err != nil {
		return err
	}
	if err := s.takeInterfaces(in); err != nil {
		return err
	}
	if err := s.checkCores(in.Location, size); err != nil {
		return err
	}
	if err := s.identify(in, nil); err != nil {
		return err
	}
	p := &in.Properties
	p.ProvisioningState, p.VMID, p.TimeCreated, p.InstanceView = stateCreating, newUUID(), stamp(), nil
	in.Kept = &kept{CustomData: p.OSProfile.CustomData, Power: powerStarting, Since: stamp(), Incarnation: 1, Unmade: true}
	completeProfile(p.OSProfile)
	in.changed()
	err = s.makeDisks(in, size)
	if err != nil {
		in.Kept.Power = "" // where it is recorded all the same, it never runs
	}
	return err
}

// completeProfile takes secrets out and puts in what Azure puts in.
func completeProfile(p *osProfile) {
	yes := true
	p.CustomData, p.AdminPassword, p.Secrets = "", "", []ref{}
	if p.AllowExtensions == nil {
		p.AllowExtensions = &yes
	}
	p.RequireSignal = &yes
	if p.LinuxConfiguration == nil {
		p.LinuxConfiguration = &linuxProfile{}
	}
	l := p.LinuxConfiguration
	if l.ProvisionVMAgent == nil {
		l.ProvisionVMAgent = &yes
	}
	if l.PatchSettings == nil {
		l.PatchSettings = &patchSettings{PatchMode: "ImageDefault", AssessmentMode: "ImageDefault"}
	}
}

// checkFeatures refuses what the lab doesn't have.
func checkFeatures(in *machine) *apiError {
	switch p := in.Properties; {
	case p.Priority != "" && !strings.EqualFold(p.Priority, "Regular"):
		return unsupported("Virtual machines of priority '%s' are not supported.", p.Priority)
	case len(in.Zones) > 1:
		return invalidParameter("zones", "The virtual machine '%s' has more than one zone.", in.Name)
	}
	return nil
}

// checkSize finds a machine's size and says where it is to be had when it isn't in the machine's location.
func (s *Service) checkSize(in *machine) (Size, *apiError) {
	name := in.Properties.HardwareProfile.VMSize
	size, ok := s.cat.size(name)
	if !ok {
		return size, invalidParameter("vmSize", "The value %s provided for the VM size is not valid. The valid sizes in the current region are: %s.", name, strings.Join(s.sizesIn(in.Location), ","))
	}
	in.Properties.HardwareProfile.VMSize = size.Name
	if !s.cat.Offered(in.Location, size.Name) {
		e := refuse(http.StatusConflict, "SkuNotAvailable", "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: %s' is currently not available in location '%s'. "+
			"Please try another size or deploy to a different location or different zone. See https://aka.ms/azureskunotavailable for details.", size.Name, in.Location)
		return size, e
	}
	if zone, out := s.withheld(in.Location, in.Zones, size.Name); out {
		return size, refuse(http.StatusConflict, "SkuNotAvailable", "The requested size for resource '%s' is currently not available in location '%s' zones '%s' for subscription '%s'. "+
			"Please try another size or deploy to a different location or zones. See https://aka.ms/azureskunotavailable for details.", in.ID, in.Location, zone, s.cfg.Subscription)
	}
	return size, nil
}

func (s *Service) sizesIn(location string) []string {
	var out []string
	for _, t := range s.cat.Sizes {
		if s.cat.Offered(location, t.Name) {
			out = append(out, t.Name)
		}
	}
	return out
}

// takeInterfaces checks the interfaces of a new machine: they are there, in its location, of one network, and no other
// machine's.
func (s *Service) takeInterfaces(in *machine) *apiError {
	all := in.Properties.NetworkProfile.NetworkInterfaces
	if len(all) == 0 {
		return invalidParameter("networkProfile", "The required parameter networkProfile.networkInterfaces is missing.")
	}
	var in1 *network
	for i, r := range all {
		n := s.st.Interfaces[key(r.ID)]
		switch {
		case n == nil:
			return refuse(http.StatusNotFound, "NotFound", "Resource %s not found.", r.ID)
		case n.Location != in.Location:
			return invalidReference(r.ID, s.idOf(parseID(in.ID).group, machineType, in.Name))
		case s.busy[key(n.ID)] != "":
			return notReady(n.ID, n.Properties.ProvisioningState, in.ID)
		}
		if m := s.machineOf(n); m != nil {
			return refuse(http.StatusBadRequest, "NicInUse", "Network Interface %s is used by existing resource %s. In order to use the network interface, it must be dissociated from the resource.", n.ID, m.ID)
		}
		if err := s.reservedFor(n, in.ID); err != nil {
			return err
		}
		net, _ := s.findSubnet(n.primary().Properties.Subnet.ID)
		if i > 0 && net != in1 {
			return refuse(http.StatusBadRequest, "NetworkInterfacesInDifferentVirtualNetworks", "All network interfaces of virtual machine %s must be in the same virtual network.", in.Name)
		}
		in1 = net
		all[i].ID = n.ID
	}
	for _, r := range all {
		if n := s.st.Interfaces[key(r.ID)]; n.Properties.MACAddress == "" {
			n.Properties.MACAddress = macOf(n)
		}
	}
	return nil
}

// macOf is the hardware address that Azure gives an interface: of a block of Microsoft's, and ours by its id.
func macOf(n *nic) string {
	id := strings.ToUpper(strings.ReplaceAll(n.Properties.ResourceGUID, "-", ""))
	return fmt.Sprintf("00-0D-3A-%s-%s-%s", id[0:2], id[2:4], id[4:6])
}

// identify checks a machine's identity and completes it.
func (s *Service) identify(in, old *machine) *apiError {
	if in.Identity == nil || in.Identity.Type == "" || strings.EqualFold(in.Identity.Type, "None") {
		in.Identity = nil
		return nil
	}
	if !strings.EqualFold(in.Identity.Type, "SystemAssigned") {
		return unsupported("Identities of type '%s' are not supported.", in.Identity.Type)
	}
	principal := newUUID()
	if old != nil && old.Identity != nil {
		principal = old.Identity.PrincipalID
	}
	in.Identity = &identity{Type: "SystemAssigned", PrincipalID: principal, TenantID: s.cfg.Tenant}
	return nil
}

// boot takes a machine from starting to running.
func (s *Service) boot(ctx context.Context, id, vmID string, took time.Duration) *apiError {
	unlock := s.locks.Lock(vmID)
	defer unlock()
	s.sleep(took / 2)
	// Networks first: a machine boots with its interfaces plugged in.
	err := s.networks.Sync(ctx)
	s.sleep(took / 2)
	s.mu.Lock()
	m := s.st.Machines[key(id)]
	if m == nil || m.Properties.VMID != vmID || m.Properties.ProvisioningState == stateDeleting {
		s.mu.Unlock()
		return refuse(http.StatusConflict, "OperationPreempted", "Operation execution has been preempted by a more recent operation.")
	}
	w := s.worldMachine(m)
	s.mu.Unlock()
	if err == nil {
		err = s.cfg.Physical.StartMachine(ctx, w)
	}
	if err != nil {
		s.log.Error("machine did not start", "machine", id, "err", err)
		s.setPower(id, vmID, powerStopped)
		e := refuse(http.StatusConflict, "OSProvisioningTimedOut", "OS Provisioning for VM '%s' did not finish in the allotted time. (%v)", w.Name, err)
		return e
	}
	s.setPower(id, vmID, powerRunning)
	return nil
}

// setPower changes a machine's power state, if it is still the same machine.
func (s *Service) setPower(id, vmID, power string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.st.Machines[key(id)]; m != nil && m.Properties.VMID == vmID {
		m.Kept.Power, m.Kept.Since = power, stamp()
		s.save()
	}
}

// changeMachine is a PUT of a machine that is there. What Azure doesn't let be changed is refused in its words.
func (s *Service) changeMachine(c *call, in, old *machine) (*answer, *apiError) {
	given := in.ETag
	if err := s.admit(c, machineType, &in.head, old); err != nil {
		return nil, err
	}
	if err := matchMachine(c, given, old); err != nil {
		return nil, err
	}
	if err := s.machineFree(old); err != nil {
		return nil, err
	}
	if err := s.checkChanges(in, old); err != nil {
		return nil, err
	}
	if err := s.identify(in, old); err != nil {
		return nil, err
	}
	if err := s.changeDisks(in, old); err != nil {
		return nil, err
	}
	old.Tags, old.Identity = in.Tags, in.Identity
	if in.Properties.UserData != "" {
		old.Properties.UserData = in.Properties.UserData
	}
	if in.Properties.DiagnosticsProfile != nil {
		old.Properties.DiagnosticsProfile = in.Properties.DiagnosticsProfile
	}
	return s.updatingMachine(c, old, apply(in, old))
}

// apply makes the changes of a machine that checkChanges has found good, and says whether it has to be started anew for
// them.
func apply(in, old *machine) (restart bool) {
	is, was := &in.Properties, &old.Properties
	if size := is.HardwareProfile.VMSize; size != "" && size != was.HardwareProfile.VMSize {
		was.HardwareProfile.VMSize, restart = size, old.Kept.Power == powerRunning
	}
	if d := is.StorageProfile.OSDisk; d != nil && d.DeleteOption != "" {
		was.StorageProfile.OSDisk.DeleteOption = d.DeleteOption
	}
	if p := is.OSProfile; p != nil && p.AllowExtensions != nil {
		was.OSProfile.AllowExtensions = p.AllowExtensions
	}
	if p := is.SecurityProfile; p != nil && p.UEFISettings != nil && was.SecurityProfile != nil {
		was.SecurityProfile.UEFISettings = p.UEFISettings
	}
	if list := is.NetworkProfile.NetworkInterfaces; len(list) > 0 {
		was.NetworkProfile.NetworkInterfaces = list
	}
	return restart
}

// checkChanges refuses changes of what a machine keeps for its life, or while it runs.
func (s *Service) checkChanges(in, old *machine) *apiError {
	changed := func(what string) *apiError {
		e := refuse(http.StatusConflict, "PropertyChangeNotAllowed", "Changing property '%s' is not allowed.", what)
		e.target = what
		return e
	}
	was, is := old.Properties, in.Properties
	switch {
	case is.OSProfile != nil && is.OSProfile.CustomData != "" && is.OSProfile.CustomData != old.Kept.CustomData:
		return changed("osProfile.customData")
	case is.OSProfile != nil && is.OSProfile.ComputerName != "" && is.OSProfile.ComputerName != was.OSProfile.ComputerName:
		return changed("osProfile.computerName")
	case is.OSProfile != nil && is.OSProfile.AdminUsername != "" && is.OSProfile.AdminUsername != was.OSProfile.AdminUsername:
		return changed("osProfile.adminUsername")
	case is.StorageProfile.OSDisk != nil && is.StorageProfile.OSDisk.Name != "" && !strings.EqualFold(is.StorageProfile.OSDisk.Name, was.StorageProfile.OSDisk.Name):
		return changed("osDisk.name")
	case is.StorageProfile.ImageReference != nil && !strings.EqualFold(is.StorageProfile.ImageReference.SKU, was.StorageProfile.ImageReference.SKU):
		return changed("imageReference")
	case len(in.Zones) > 0 && !slices.Equal(in.Zones, old.Zones):
		return changed("zones")
	}
	if err := checkSecurity(is.SecurityProfile, old, changed); err != nil {
		return err
	}
	if size := is.HardwareProfile.VMSize; size != "" && !strings.EqualFold(size, was.HardwareProfile.VMSize) {
		if _, err := s.checkSize(in); err != nil { // one that runs is started anew with it
			return err
		}
	}
	return s.checkInterfaces(in, old)
}

// checkSecurity lets the switches of a machine's firmware be changed while no host has it, and its security type never.
func checkSecurity(is *securityProfile, old *machine, changed func(string) *apiError) *apiError {
	was := old.Properties.SecurityProfile
	switch {
	case is == nil:
		return nil
	case is.SecurityType != "" && (was == nil || is.SecurityType != was.SecurityType):
		return changed("securityProfile.securityType")
	case is.UEFISettings == nil || was == nil || reflect.DeepEqual(is.UEFISettings, was.UEFISettings) || old.Kept.Power == powerDeallocated:
		return nil
	}
	return refuse(http.StatusConflict, "OperationNotAllowed", "UEFI settings of VM '%s' can only be changed while the VM is deallocated.", old.Name)
}

// checkInterfaces lets a machine be given other interfaces while no host has it.
func (s *Service) checkInterfaces(in, old *machine) *apiError {
	list, have := in.Properties.NetworkProfile.NetworkInterfaces, old.Properties.NetworkProfile.NetworkInterfaces
	var fresh []machineInterface
	for i, r := range list {
		at := slices.IndexFunc(have, func(h machineInterface) bool { return key(h.ID) == key(r.ID) })
		if at < 0 {
			fresh = append(fresh, r)
		} else if list[i].ID = have[at].ID; r.Properties.DeleteOption == "" {
			list[i].Properties.DeleteOption = have[at].Properties.DeleteOption
		}
	}
	if len(list) == 0 || len(fresh) == 0 && len(list) == len(have) {
		return nil
	}
	if old.Kept.Power != powerDeallocated {
		return refuse(http.StatusBadRequest, "AddingOrDeletingNetworkInterfacesOnARunningVirtualMachineNotSupported",
			"Network interfaces of virtual machine %s can't be added or deleted while it is running: it must be stop-deallocated before.", old.ID)
	}
	if len(fresh) == 0 {
		return nil
	}
	taking := &machine{head: old.head}
	taking.Properties.NetworkProfile.NetworkInterfaces = fresh
	return s.takeInterfaces(taking)
}

// updatingMachine begins the operation of a change and answers with it.
func (s *Service) updatingMachine(c *call, m *machine, restart bool) (*answer, *apiError) {
	m.Properties.ProvisioningState = stateUpdating
	m.changed()
	id, vmID := m.ID, m.Properties.VMID
	j := job{family: computeFamily, location: m.Location, target: id, took: updateTime, ended: func(failure *apiError) {
		if m := s.st.Machines[key(id)]; m != nil && m.Properties.VMID == vmID && m.Properties.ProvisioningState != stateDeleting {
			m.Properties.ProvisioningState = stateSucceeded
		}
	}}
	if restart {
		j.work = func(ctx context.Context) *apiError {
			if err := s.stop(ctx, id, vmID); err != nil {
				return err
			}
			return s.boot(ctx, id, vmID, restartTime)
		}
	}
	op, err := s.begin(j)
	if err != nil {
		return nil, err
	}
	a := s.accepted(c, http.StatusOK, op, s.later(m))
	a.header.Set("Etag", m.ETag)
	return a, nil
}

// machineFree refuses changes of a machine that another operation is working on.
func (s *Service) machineFree(m *machine) *apiError {
	if m.Properties.ProvisioningState == stateDeleting {
		return refuse(http.StatusConflict, "OperationNotAllowed", "The request failed due to conflict with a concurrent request: virtual machine '%s' is being deleted.", m.Name)
	}
	if s.busy[key(m.ID)] != "" {
		return refuse(http.StatusConflict, "Conflict", "The request failed due to conflict with a concurrent request. To resolve it, please refer to https://aka.ms/activitylog to get more details on the conflicting requests.")
	}
	return nil
}
