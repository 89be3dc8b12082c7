package gce

import (
	"fmt"
	"strconv"
	"time"

	"google.golang.org/api/compute/v1"
)

// changeInstance runs a change of an instance's record under the lock and answers with its operation.
func (s *Service) changeInstance(c *call, verb string, change func(i *compute.Instance) *apiError) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, i, err := find(s, s.st.Instances, c)
	if err != nil {
		return nil, err
	}
	if s.busy[path] == "delete" {
		return nil, notReady(path)
	}
	if err := change(i); err != nil {
		return nil, err
	}
	return s.start(c, job{verb: verb, target: path, targetID: i.Id, took: 3 * time.Second})
}

func (s *Service) setInstanceLabels(c *call) (any, *apiError) {
	var in compute.InstancesSetLabelsRequest
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	return s.changeInstance(c, "setLabels", func(i *compute.Instance) *apiError {
		seen := fingerprint(i.Labels)
		return setLabels(&i.Labels, &seen, in.Labels, in.LabelFingerprint)
	})
}

func (s *Service) setInstanceTags(c *call) (any, *apiError) {
	var in compute.Tags
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	if err := checkTags("items", in.Items); err != nil {
		return nil, err
	}
	return s.changeInstance(c, "setTags", func(i *compute.Instance) *apiError {
		var now []string
		if i.Tags != nil {
			now = i.Tags.Items
		}
		if in.Fingerprint != fingerprint(now) {
			return conditionNotMet("Supplied fingerprint does not match current tags fingerprint.")
		}
		i.Tags = &compute.Tags{Items: in.Items}
		return nil
	})
}

func (s *Service) setInstanceMetadata(c *call) (any, *apiError) {
	var in compute.Metadata
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	if err := checkMetadata("items", &in); err != nil {
		return nil, err
	}
	return s.changeInstance(c, "setMetadata", func(i *compute.Instance) *apiError {
		if in.Fingerprint != metadataFingerprint(i.Metadata) {
			return conditionNotMet("Supplied fingerprint does not match current metadata fingerprint.")
		}
		i.Metadata = &compute.Metadata{Items: in.Items}
		return nil
	})
}

// stopped refuses changes that need a stopped machine.
func stopped(i *compute.Instance) *apiError {
	if i.Status != statusTerminated {
		return invalidUsage(fmt.Sprintf("Instance must be in TERMINATED state to perform this operation: %s is %s", i.SelfLink, i.Status))
	}
	return nil
}

func (s *Service) setMachineType(c *call) (any, *apiError) {
	var in compute.InstancesSetMachineTypeRequest
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	t, err := s.typeOf("machineType", c.zone, in.MachineType)
	if err != nil {
		return nil, err
	}
	return s.changeInstance(c, "setMachineType", func(i *compute.Instance) *apiError {
		if err := stopped(i); err != nil {
			return err
		}
		if old, _ := s.cat.machineType(c.zone, base(i.MachineType)); old.Arch != t.Arch {
			return invalidField("machineType", in.MachineType, "The boot disk's architecture does not fit the machine type.")
		}
		i.MachineType, i.CpuPlatform = s.zonal(c.zone, "machineTypes", t.Name), cpuPlatform(t)
		return nil
	})
}

func (s *Service) setServiceAccount(c *call) (any, *apiError) {
	var in compute.InstancesSetServiceAccountRequest
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	return s.changeInstance(c, "setServiceAccount", func(i *compute.Instance) *apiError {
		if err := stopped(i); err != nil {
			return err
		}
		switch in.Email {
		case "":
			i.ServiceAccounts = nil
			return nil
		case "default":
			in.Email = s.defaultAccount()
		}
		i.ServiceAccounts = []*compute.ServiceAccount{{Email: in.Email, Scopes: in.Scopes}}
		return nil
	})
}

func (s *Service) setScheduling(c *call) (any, *apiError) {
	var in compute.Scheduling
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	if endsByItself(&in) {
		return nil, unsupportedField("maxRunDuration")
	}
	return s.changeInstance(c, "setScheduling", func(i *compute.Instance) *apiError {
		if in.ProvisioningModel == "" {
			in.ProvisioningModel = i.Scheduling.ProvisioningModel
		}
		i.Scheduling = completeScheduling(&in)
		return nil
	})
}

func (s *Service) setDeletionProtection(c *call) (any, *apiError) {
	on := true
	if v := c.q.Get("deletionProtection"); v != "" {
		var err error
		if on, err = strconv.ParseBool(v); err != nil {
			return nil, invalidField("deletionProtection", v, "Must be true or false.")
		}
	}
	return s.changeInstance(c, "compute.instances.setDeletionProtection", func(i *compute.Instance) *apiError {
		i.DeletionProtection = on
		return nil
	})
}

// nicOf finds the interface that a call names.
func nicOf(c *call, i *compute.Instance) (*compute.NetworkInterface, *apiError) {
	name := c.q.Get("networkInterface")
	if name == "" {
		return nil, required("networkInterface")
	}
	for _, nic := range i.NetworkInterfaces {
		if nic.Name == name {
			return nic, nil
		}
	}
	return nil, invalidField("networkInterface", name, "The referenced network interface does not exist.")
}

func (s *Service) addAccessConfig(c *call) (any, *apiError) {
	var in compute.AccessConfig
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	return s.changeInstance(c, "addAccessConfig", func(i *compute.Instance) *apiError {
		nic, err := nicOf(c, i)
		if err != nil {
			return err
		}
		if len(nic.AccessConfigs) > 0 {
			return invalidField("accessConfig", nic.AccessConfigs[0].Name, "At most one access config currently supported.")
		}
		region := zoneToRegion(c.zone)
		if err := s.checkQuota(region, "IN_USE_ADDRESSES", 1); err != nil {
			return err
		}
		ac, ephemeral, err := s.accessConfig("accessConfig", region, &in)
		if err != nil {
			return err
		}
		if ephemeral && i.Status == statusTerminated {
			s.putPublic(region, ac.NatIP) // it gets one when it starts
			ac.NatIP = ""
		}
		nic.AccessConfigs = []*compute.AccessConfig{ac}
		return nil
	})
}

func (s *Service) deleteAccessConfig(c *call) (any, *apiError) {
	return s.changeInstance(c, "deleteAccessConfig", func(i *compute.Instance) *apiError {
		nic, err := nicOf(c, i)
		if err != nil {
			return err
		}
		name := c.q.Get("accessConfig")
		if len(nic.AccessConfigs) == 0 || nic.AccessConfigs[0].Name != name {
			return invalidField("accessConfig", name, "The referenced access config does not exist.")
		}
		s.freed = append(s.freed, publicAddress{zoneToRegion(c.zone), nic.AccessConfigs[0].NatIP})
		nic.AccessConfigs = nil
		return nil
	})
}

// updateInterface moves a stopped machine's interface to another address or subnet. Ranges of aliases aren't in the lab.
func (s *Service) updateInterface(c *call) (any, *apiError) {
	return s.changeInstance(c, "updateNetworkInterface", func(i *compute.Instance) *apiError {
		nic, err := nicOf(c, i)
		if err != nil {
			return err
		}
		var in compute.NetworkInterface
		given, err := decode(c.body, &in)
		if err != nil {
			return err
		}
		if in.Fingerprint != fingerprint(nic) {
			return conditionNotMet("Supplied fingerprint does not match current network interface fingerprint.")
		}
		if given["aliasIpRanges"] && len(in.AliasIpRanges) > 0 {
			return unsupportedField("networkInterface")
		}
		changed := in.NetworkIP != "" && in.NetworkIP != nic.NetworkIP
		for field, v := range map[string][2]string{"networks": {in.Network, nic.Network}, "subnetworks": {in.Subnetwork, nic.Subnetwork}} {
			if v[0] == "" {
				continue
			}
			path, err := s.resolve(field, v[0], field)
			if err != nil {
				return err
			}
			changed = changed || path != v[1]
		}
		if !changed {
			return nil
		}
		if err := stopped(i); err != nil {
			return err
		}
		return s.moveInterface(zoneToRegion(c.zone), nic, &in)
	})
}

// moveInterface gives an interface another address or subnet; without a subnet it stays in its own.
func (s *Service) moveInterface(region string, nic, in *compute.NetworkInterface) *apiError {
	want := &compute.NetworkInterface{Network: in.Network, Subnetwork: in.Subnetwork, NetworkIP: in.NetworkIP}
	if want.Network == "" && want.Subnetwork == "" {
		want.Subnetwork = nic.Subnetwork
	}
	next, conflict, err := s.planInterface("networkInterface", region, want, 0)
	switch {
	case err != nil:
		return err
	case conflict != nil:
		return invalidUsage(conflict.message)
	}
	nic.Network, nic.Subnetwork, nic.NetworkIP = next.Network, next.Subnetwork, next.NetworkIP
	return nil
}

// updateInstance takes a whole machine, of which the lab lets only canIpForward differ: all else has calls of its own.
func (s *Service) updateInstance(c *call) (any, *apiError) {
	var in compute.Instance
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	return s.changeInstance(c, "update", func(i *compute.Instance) *apiError {
		switch {
		case base(in.MachineType) != base(i.MachineType):
			return unsupportedField("machineType")
		case in.DeletionProtection != i.DeletionProtection:
			return unsupportedField("deletionProtection")
		case fingerprint(in.Labels) != fingerprint(i.Labels):
			return unsupportedField("labels")
		case in.Metadata == nil || metadataFingerprint(in.Metadata) != metadataFingerprint(i.Metadata):
			return unsupportedField("metadata")
		case len(in.Disks) != len(i.Disks) || len(in.NetworkInterfaces) != len(i.NetworkInterfaces):
			return unsupportedField("disks")
		case c.q.Get("mostDisruptiveAllowedAction") == "NO_EFFECT" && in.CanIpForward != i.CanIpForward && i.Status != statusTerminated:
			return invalidUsage("The update needs the action REFRESH, which mostDisruptiveAllowedAction doesn't allow.")
		}
		i.CanIpForward = in.CanIpForward
		return nil
	})
}

func (s *Service) attachDisk(c *call) (any, *apiError) {
	var in compute.AttachedDisk
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	return s.changeInstance(c, "attachDisk", func(i *compute.Instance) *apiError {
		if in.Source == "" {
			return required("source")
		}
		if in.Boot {
			return unsupportedField("boot")
		}
		if r, ok := s.parseRef(in.Source); ok && r.plural == "disks" && s.st.Disks[r.path()] == nil {
			return notFound(r.path())
		}
		d, err := s.existingDisk("resource", c.zone, &in)
		if err != nil {
			return err
		}
		index := 0
		for _, a := range i.Disks {
			index = max(index, int(a.Index)+1)
			if in.DeviceName != "" && a.DeviceName == in.DeviceName {
				return invalidField("deviceName", in.DeviceName, "The device name is already in use.")
			}
		}
		i.Disks = append(i.Disks, attached(&in, d, index))
		d.LastAttachTimestamp = stamp()
		return nil
	})
}

// diskByDevice finds the disk that a call names by its device.
func diskByDevice(c *call, i *compute.Instance) (int, *apiError) {
	name := c.q.Get("deviceName")
	for n, a := range i.Disks {
		if a.DeviceName == name && name != "" {
			return n, nil
		}
	}
	return 0, invalidField("deviceName", name, "No attached disk found with this device name.")
}

func (s *Service) detachDisk(c *call) (any, *apiError) {
	return s.changeInstance(c, "detachDisk", func(i *compute.Instance) *apiError {
		n, err := diskByDevice(c, i)
		if err != nil {
			return err
		}
		a := i.Disks[n]
		if a.Boot && i.Status != statusTerminated {
			return invalidUsage("The boot disk can only be detached from a stopped instance")
		}
		if d := s.st.Disks[a.Source]; d != nil {
			d.LastDetachTimestamp = stamp()
		}
		i.Disks = append(i.Disks[:n:n], i.Disks[n+1:]...)
		return nil
	})
}

func (s *Service) setDiskAutoDelete(c *call) (any, *apiError) {
	on, parseErr := strconv.ParseBool(c.q.Get("autoDelete"))
	if parseErr != nil {
		return nil, invalidField("autoDelete", c.q.Get("autoDelete"), "Must be true or false.")
	}
	return s.changeInstance(c, "setDiskAutoDelete", func(i *compute.Instance) *apiError {
		n, err := diskByDevice(c, i)
		if err == nil {
			i.Disks[n].AutoDelete = on
		}
		return err
	})
}

// serialPort returns what the machine wrote to its console, from the byte that the caller has not seen yet.
func (s *Service) serialPort(c *call) (any, *apiError) {
	s.mu.Lock()
	_, i, err := find(s, s.st.Instances, c)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if p := c.q.Get("port"); p != "" && p != "1" {
		return &compute.SerialPortOutput{Kind: "compute#serialPortOutput", SelfLink: c.path, ForceSendFields: []string{"Contents", "Next", "Start"}}, nil
	}
	from, parseErr := strconv.ParseInt(c.q.Get("start"), 10, 64)
	if c.q.Get("start") != "" && parseErr != nil {
		return nil, invalidField("start", c.q.Get("start"), "Must be a number of bytes.")
	}
	text := s.cfg.Physical.Console(formatID(i.Id))
	from = min(max(from, 0), int64(len(text)))
	return &compute.SerialPortOutput{
		Kind: "compute#serialPortOutput", SelfLink: c.path, Contents: string(text[from:]), Start: from, Next: int64(len(text)),
		ForceSendFields: []string{"Contents", "Next", "Start"},
	}, nil
}

func (s *Service) listReferrers(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, _, err := find(s, s.st.Instances, c); err != nil {
		return nil, err
	}
	return map[string]any{"kind": c.method.kind, "id": c.path, "selfLink": s.linkBase() + c.path}, nil
}
