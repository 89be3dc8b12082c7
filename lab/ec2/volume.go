package ec2

import (
	"slices"
	"time"
)

// volumeType bounds a type of volume (Amazon EBS volume types): sizes in GiB, IOPS, and throughput in MiB/s where it
// can be chosen.
type volumeType struct {
	minSize, maxSize, minIOPS, maxIOPS, maxThroughput int
}

var volumeTypes = map[string]volumeType{
	"gp2":      {1, 16384, 0, 0, 0},
	"gp3":      {1, 65536, 3000, 80000, 2000},
	"io1":      {4, 16384, 100, 64000, 0},
	"io2":      {4, 65536, 100, 256000, 0},
	"sc1":      {125, 16384, 0, 0, 0},
	"st1":      {125, 16384, 0, 0, 0},
	"standard": {1, 1024, 0, 0, 0},
}

// shape gives a volume what a request asks for, on top of what it is. least is the size of the snapshot it comes from.
func (v *volume) shape(in *ebsInput, least int) error {
	if in.Type != "" && in.Type != v.Type {
		v.Type, v.IOPS, v.Throughput = in.Type, 0, 0
	}
	if v.Type == "" {
		v.Type = "gp2"
	}
	t, ok := volumeTypes[v.Type]
	if !ok {
		return apiErrorf("InvalidParameterValue", "Volume type '%s' is invalid.", v.Type)
	}
	if in.Snapshot != "" && in.Snapshot != v.Snapshot {
		return apiErrorf("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", in.Snapshot)
	}
	if in.Size != nil {
		v.Size = *in.Size
	}
	switch {
	case v.Size == 0 && in.Size == nil:
		return missingParameter("size/snapshot")
	case v.Size < t.minSize:
		return apiErrorf("InvalidParameterValue", "Volume of %dGiB is too small; minimum is %dGiB.", v.Size, t.minSize)
	case v.Size > t.maxSize:
		return apiErrorf("InvalidParameterValue", "Volume of %dGiB is too large for volume type %s; maximum is %dGiB.", v.Size, v.Type, t.maxSize)
	case v.Size < least:
		return apiErrorf("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", v.Size, v.Snapshot, least)
	}
	v.Encrypted = v.Encrypted || deref(in.Encrypted)
	return v.performance(t, in.IOPS, in.Throughput)
}

func (v *volume) performance(t volumeType, iops, throughput *int) error {
	switch {
	case iops != nil && t.maxIOPS == 0:
		return apiErrorf("InvalidParameterCombination", "The parameter iops is not supported for %s volumes.", v.Type)
	case throughput != nil && t.maxThroughput == 0:
		return apiErrorf("InvalidParameterCombination", "The parameter throughput is not supported for %s volumes.", v.Type)
	case iops == nil && v.IOPS == 0 && (v.Type == "io1" || v.Type == "io2"):
		return apiErrorf("MissingParameter", "The parameter iops must be specified for %s volumes.", v.Type)
	}
	if iops != nil {
		v.IOPS = *iops
	}
	if throughput != nil {
		v.Throughput = *throughput
	}
	switch v.Type {
	case "gp2":
		v.IOPS = min(max(100, 3*v.Size), 16000)
	case "gp3":
		if v.IOPS == 0 {
			v.IOPS = 3000
		}
		if v.Throughput == 0 {
			v.Throughput = 125
		}
	}
	if t.maxIOPS > 0 && (v.IOPS < t.minIOPS || v.IOPS > t.maxIOPS) {
		return apiErrorf("InvalidParameterValue", "Volume iops of %d is outside of %d to %d for volume type %s.", v.IOPS, t.minIOPS, t.maxIOPS, v.Type)
	}
	if t.maxThroughput > 0 && (v.Throughput < 125 || v.Throughput > t.maxThroughput) {
		return apiErrorf("InvalidParameterValue", "Throughput of %d MiB/s is outside of 125 to %d for volume type %s.", v.Throughput, t.maxThroughput, v.Type)
	}
	return nil
}

type volumeAttachment struct {
	Volume   string `xml:"volumeId"`
	Instance string `xml:"instanceId"`
	Device   string `xml:"device"`
	Status   string `xml:"status"`
	At       string `xml:"attachTime"`
	Delete   bool   `xml:"deleteOnTermination"`
}

func (v *volume) attachment(status string) volumeAttachment {
	return volumeAttachment{v.ID, v.Instance, v.Device, status, stamp(v.AttachedAt), v.DeleteOnTermination}
}

type volumeView struct {
	ID          string                `xml:"volumeId"`
	Size        int                   `xml:"size"`
	Snapshot    string                `xml:"snapshotId"`
	Zone        string                `xml:"availabilityZone"`
	ZoneID      string                `xml:"availabilityZoneId"`
	Status      string                `xml:"status"`
	Created     string                `xml:"createTime"`
	Attachments set[volumeAttachment] `xml:"attachmentSet"`
	Tags        set[tagPair]          `xml:"tagSet"`
	Type        string                `xml:"volumeType"`
	IOPS        int                   `xml:"iops,omitempty"`
	Throughput  int                   `xml:"throughput,omitempty"`
	Encrypted   bool                  `xml:"encrypted"`
	Multi       bool                  `xml:"multiAttachEnabled"`
}

func (c *call) volumeView(v *volume) volumeView {
	view := volumeView{ID: v.ID, Size: v.Size, Snapshot: v.Snapshot, Zone: v.Zone, ZoneID: c.zoneID(v.Zone), Status: "available", Created: stamp(v.Created),
		Tags: c.region.Tags[v.ID].view(), Type: v.Type, IOPS: v.IOPS, Throughput: v.Throughput, Encrypted: v.Encrypted}
	if v.Instance != "" {
		view.Status, view.Attachments = "in-use", setOf([]volumeAttachment{v.attachment("attached")})
	}
	return view
}

type volumeAnswer struct {
	meta
	volumeView
}

type createVolume struct {
	tagSpecs
	Zone       string `q:"AvailabilityZone"`
	ZoneID     string `q:"AvailabilityZoneId"`
	Encrypted  *bool  `q:"Encrypted"`
	IOPS       *int   `q:"Iops"`
	Size       *int   `q:"Size"`
	Snapshot   string `q:"SnapshotId"`
	Type       string `q:"VolumeType"`
	Multi      bool   `q:"MultiAttachEnabled"`
	Throughput *int   `q:"Throughput"`
	Token      string `q:"ClientToken"`
	_          string `q:"KmsKeyId OutpostArn VolumeInitializationRate Operator,unsupported"`
}

func (c *call) createVolume(in *createVolume) (*volumeAnswer, error) {
	if before, err := c.repeated(in.Token); err != nil {
		return nil, err
	} else if before != nil && c.region.Volumes[before[0]] != nil {
		return &volumeAnswer{volumeView: c.volumeView(c.region.Volumes[before[0]])}, nil
	}
	if in.Zone == "" && in.ZoneID == "" {
		return nil, missingParameter("AvailabilityZone")
	}
	zone, err := c.pickZone(in.Zone, in.ZoneID)
	if err != nil {
		return nil, apiErrorf("InvalidZone.NotFound", "The zone '%s%s' does not exist.", in.Zone, in.ZoneID)
	}
	if in.Multi {
		return nil, apiErrorf("UnsupportedOperation", "Multi-Attach is not supported here")
	}
	v := &volume{ID: newID(kindVolume.prefix), Zone: zone, Created: c.now}
	least := 0
	if in.Snapshot != "" {
		img, ok := c.images.bySnapshot(c.region.Name, in.Snapshot)
		if !ok {
			return nil, apiErrorf("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", in.Snapshot)
		}
		v.Snapshot, v.Size, least = img.Snapshot, img.RootSize, img.RootSize
	}
	if err := v.shape(&ebsInput{IOPS: in.IOPS, Size: in.Size, Type: in.Type, Throughput: in.Throughput, Encrypted: in.Encrypted}, least); err != nil {
		return nil, err
	}
	set, err := in.of(kindVolume)
	if err != nil {
		return nil, err
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	c.region.Volumes[v.ID] = v
	c.region.setTags(v.ID, set)
	c.remember(in.Token, v.ID)
	view := c.volumeView(v)
	view.Status = "creating"
	return &volumeAnswer{volumeView: view}, nil
}

type volumeInput struct {
	ID string `q:"VolumeId,required"`
}

func (c *call) deleteVolume(in *volumeInput) (*doneAnswer, error) {
	v, err := get(kindVolume, c.region.Volumes, in.ID)
	if err != nil {
		return nil, err
	}
	if v.Instance != "" {
		return nil, apiErrorf("VolumeInUse", "Volume %s is currently attached to %s", v.ID, v.Instance)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	delete(c.region.Volumes, v.ID)
	delete(c.region.Tags, v.ID)
	return done()
}

type describeVolumes struct {
	describe
	IDs     []string `q:"VolumeId"`
	Managed bool     `q:"IncludeManagedResources"`
}

type describeVolumesAnswer struct {
	meta
	Volumes set[volumeView] `xml:"volumeSet"`
	Next    string          `xml:"nextToken,omitempty"`
}

func (c *call) describeVolumes(in *describeVolumes) (*describeVolumesAnswer, error) {
	if err := notBoth(in.paging, in.IDs, "volumeIds"); err != nil {
		return nil, err
	}
	attached := func(f func(*volume) string) func(*volume) []string {
		return func(v *volume) []string {
			if v.Instance == "" {
				return nil
			}
			return one(f(v))
		}
	}
	list, next, err := search[*volume]{kindVolume, c.region.Volumes, in.IDs, in.Filters, fields[*volume]{
		"attachment.attach-time":           attached(func(v *volume) string { return stamp(v.AttachedAt) }),
		"attachment.delete-on-termination": attached(func(v *volume) string { return yesNo(v.DeleteOnTermination)[0] }),
		"attachment.device":                attached(func(v *volume) string { return v.Device }),
		"attachment.instance-id":           attached(func(v *volume) string { return v.Instance }),
		"attachment.status":                attached(func(*volume) string { return "attached" }),
		"availability-zone":                func(v *volume) []string { return one(v.Zone) },
		"availability-zone-id":             func(v *volume) []string { return one(c.zoneID(v.Zone)) },
		"create-time":                      func(v *volume) []string { return one(stamp(v.Created)) },
		"encrypted":                        func(v *volume) []string { return yesNo(v.Encrypted) },
		"fast-restored":                    func(*volume) []string { return yesNo(false) },
		"multi-attach-enabled":             func(*volume) []string { return yesNo(false) },
		"size":                             func(v *volume) []string { return one(itoa(v.Size)) },
		"snapshot-id":                      func(v *volume) []string { return one(v.Snapshot) },
		"status":                           func(v *volume) []string { return one(c.volumeView(v).Status) },
		"volume-id":                        func(v *volume) []string { return one(v.ID) },
		"volume-type":                      func(v *volume) []string { return one(v.Type) },
	}, func(v *volume) tags { return c.region.Tags[v.ID] }}.page(in.paging, func(v *volume) string { return v.ID })
	return &describeVolumesAnswer{Volumes: views(list, c.volumeView), Next: next}, err
}

type attachVolume struct {
	Device   string `q:"Device,required"`
	Instance string `q:"InstanceId,required"`
	ID       string `q:"VolumeId,required"`
	_        string `q:"EbsCardIndex,unsupported"`
}

type volumeAttachmentAnswer struct {
	meta
	volumeAttachment
}

func (c *call) attachVolume(in *attachVolume) (*volumeAttachmentAnswer, error) {
	v, err := get(kindVolume, c.region.Volumes, in.ID)
	if err != nil {
		return nil, err
	}
	i, err := get(kindInstance, c.region.Instances, in.Instance)
	if err != nil {
		return nil, err
	}
	switch {
	case v.Instance != "":
		return nil, apiErrorf("VolumeInUse", "%s is already attached to an instance", v.ID)
	case i.State != running && i.State != stopped:
		return nil, apiErrorf("IncorrectState", "Instance '%s' is not 'running'.", i.ID)
	case i.Zone != v.Zone:
		return nil, apiErrorf("InvalidVolume.ZoneMismatch", "The volume '%s' is not in the same availability zone as instance '%s'", v.ID, i.ID)
	case slices.ContainsFunc(c.region.volumesOf(i.ID), func(o *volume) bool { return o.Device == in.Device }):
		return nil, apiErrorf("InvalidParameterValue", "Invalid value '%s' for unixDevice. Attachment point %s is already in use", in.Device, in.Device)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	v.Instance, v.Device, v.AttachedAt, v.DeleteOnTermination = i.ID, in.Device, c.now, false
	return &volumeAttachmentAnswer{volumeAttachment: v.attachment("attaching")}, nil
}

type detachVolume struct {
	ID       string `q:"VolumeId,required"`
	Device   string `q:"Device"`
	Instance string `q:"InstanceId"`
	Force    bool   `q:"Force"`
}

func (c *call) detachVolume(in *detachVolume) (*volumeAttachmentAnswer, error) {
	v, err := get(kindVolume, c.region.Volumes, in.ID)
	if err != nil {
		return nil, err
	}
	switch {
	case v.Instance == "":
		return nil, apiErrorf("IncorrectState", "Volume '%s' is in the 'available' state.", v.ID)
	case in.Instance != "" && in.Instance != v.Instance || in.Device != "" && in.Device != v.Device:
		return nil, apiErrorf("InvalidAttachment.NotFound", "The volume '%s' is not attached to instance '%s' as device '%s'", v.ID, in.Instance, in.Device)
	}
	if i := c.region.Instances[v.Instance]; i != nil && i.RootDevice == v.Device && i.State != stopped {
		return nil, apiErrorf("OperationNotPermitted", "Unable to detach root volume '%s' from instance '%s'", v.ID, i.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	out := &volumeAttachmentAnswer{volumeAttachment: v.attachment("detaching")}
	v.Instance, v.Device, v.DeleteOnTermination = "", "", false
	return out, nil
}

type modifyVolume struct {
	ID         string `q:"VolumeId,required"`
	Size       *int   `q:"Size"`
	Type       string `q:"VolumeType"`
	IOPS       *int   `q:"Iops"`
	Throughput *int   `q:"Throughput"`
	_          string `q:"MultiAttachEnabled,unsupported"`
}

type modificationView struct {
	ID       string `xml:"volumeId"`
	State    string `xml:"modificationState"`
	Size     int    `xml:"targetSize"`
	IOPS     int    `xml:"targetIops,omitempty"`
	Type     string `xml:"targetVolumeType"`
	Thru     int    `xml:"targetThroughput,omitempty"`
	OldSize  int    `xml:"originalSize"`
	OldIOPS  int    `xml:"originalIops,omitempty"`
	OldType  string `xml:"originalVolumeType"`
	OldThru  int    `xml:"originalThroughput,omitempty"`
	Progress int    `xml:"progress"`
	Started  string `xml:"startTime"`
	Ended    string `xml:"endTime,omitempty"`
}

func (v *volume) modification() modificationView {
	return modificationView{v.ID, "completed", v.Size, v.IOPS, v.Type, v.Throughput, v.OldSize, v.OldIOPS, v.OldType, v.OldThru, 100, stamp(v.Modified), stamp(v.Modified)}
}

type modifyVolumeAnswer struct {
	meta
	Modification modificationView `xml:"volumeModification"`
}

// modificationPause is how long EC2 makes one wait between two changes of a volume.
const modificationPause = 6 * time.Hour

func (c *call) modifyVolume(in *modifyVolume) (*modifyVolumeAnswer, error) {
	v, err := get(kindVolume, c.region.Volumes, in.ID)
	if err != nil {
		return nil, err
	}
	if !v.Modified.IsZero() && c.now.Sub(v.Modified) < modificationPause {
		return nil, apiErrorf("VolumeModificationRateExceeded", "You've reached the maximum modification rate per volume limit. Wait at least 6 hours between modifications per EBS volume.")
	}
	if in.Size != nil && *in.Size < v.Size {
		return nil, apiErrorf("InvalidParameterValue", "New size cannot be smaller than existing size")
	}
	after := *v
	if err := after.shape(&ebsInput{Size: in.Size, Type: in.Type, IOPS: in.IOPS, Throughput: in.Throughput}, v.Size); err != nil {
		return nil, err
	}
	after.OldSize, after.OldIOPS, after.OldType, after.OldThru, after.Modified = v.Size, v.IOPS, v.Type, v.Throughput, c.now
	if err := c.commit(); err != nil {
		return nil, err
	}
	*v = after
	view := v.modification()
	view.State, view.Progress, view.Ended = "modifying", 0, ""
	return &modifyVolumeAnswer{Modification: view}, nil
}

type describeModificationsAnswer struct {
	meta
	Modifications set[modificationView] `xml:"volumeModificationSet"`
	Next          string                `xml:"nextToken,omitempty"`
}

func (c *call) describeModifications(in *struct {
	describe
	IDs []string `q:"VolumeId"`
}) (*describeModificationsAnswer, error) {
	modified := map[string]*volume{}
	for id, v := range c.region.Volumes {
		if !v.Modified.IsZero() {
			modified[id] = v
		} else if slices.Contains(in.IDs, id) {
			return nil, apiErrorf("InvalidVolumeModification.NotFound", "Modification for volume '%s' does not exist.", id)
		}
	}
	list, next, err := search[*volume]{kindVolume, modified, in.IDs, in.Filters, fields[*volume]{
		"modification-state":   func(*volume) []string { return one("completed") },
		"volume-id":            func(v *volume) []string { return one(v.ID) },
		"original-size":        func(v *volume) []string { return one(itoa(v.OldSize)) },
		"target-size":          func(v *volume) []string { return one(itoa(v.Size)) },
		"original-volume-type": func(v *volume) []string { return one(v.OldType) },
		"target-volume-type":   func(v *volume) []string { return one(v.Type) },
		"original-iops":        func(v *volume) []string { return one(itoa(v.OldIOPS)) },
		"target-iops":          func(v *volume) []string { return one(itoa(v.IOPS)) },
		"start-time":           func(v *volume) []string { return one(stamp(v.Modified)) },
	}, nil}.page(in.paging, func(v *volume) string { return v.ID })
	return &describeModificationsAnswer{Modifications: views(list, (*volume).modification), Next: next}, err
}

type volumeStatusView struct {
	ID      string        `xml:"volumeId"`
	Zone    string        `xml:"availabilityZone"`
	ZoneID  string        `xml:"availabilityZoneId"`
	Status  statusSummary `xml:"volumeStatus"`
	Events  set[struct{}] `xml:"eventsSet"`
	Actions set[struct{}] `xml:"actionsSet"`
}

type describeVolumeStatusAnswer struct {
	meta
	Statuses set[volumeStatusView] `xml:"volumeStatusSet"`
	Next     string                `xml:"nextToken,omitempty"`
}

func (c *call) describeVolumeStatus(in *describeVolumes) (*describeVolumeStatusAnswer, error) {
	none := func(*volume) []string { return nil }
	list, next, err := search[*volume]{kindVolume, c.region.Volumes, in.IDs, in.Filters, fields[*volume]{
		"availability-zone":            func(v *volume) []string { return one(v.Zone) },
		"volume-status.status":         func(*volume) []string { return one("ok") },
		"volume-status.details-name":   func(*volume) []string { return one("io-enabled") },
		"volume-status.details-status": func(*volume) []string { return one("passed") },
		"action.code":                  none, "action.description": none, "action.event-id": none, "event.description": none,
		"event.event-id": none, "event.event-type": none, "event.not-after": none, "event.not-before": none,
	}, nil}.page(in.paging, func(v *volume) string { return v.ID })
	details := setOf([]statusDetail{{"io-enabled", "passed"}, {"io-performance", "not-applicable"}})
	return &describeVolumeStatusAnswer{Next: next, Statuses: views(list, func(v *volume) volumeStatusView {
		return volumeStatusView{ID: v.ID, Zone: v.Zone, ZoneID: c.zoneID(v.Zone), Status: statusSummary{"ok", details}}
	})}, err
}
