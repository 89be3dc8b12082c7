package ec2

import (
	"encoding/base64"
	"slices"
)

type describeInstanceAttribute struct {
	ID        string `q:"InstanceId,required"`
	Attribute string `q:"Attribute,required"`
}

// textValue is an attribute that may be absent.
type textValue struct {
	Value string `xml:"value,omitempty"`
}

type instanceAttributeAnswer struct {
	meta
	ID         string           `xml:"instanceId"`
	Type       *textValue       `xml:"instanceType"`
	Kernel     *textValue       `xml:"kernel"`
	Ramdisk    *textValue       `xml:"ramdisk"`
	UserData   *textValue       `xml:"userData"`
	ProtectEnd *boolValue       `xml:"disableApiTermination"`
	Protect    *boolValue       `xml:"disableApiStop"`
	Shutdown   *textValue       `xml:"instanceInitiatedShutdownBehavior"`
	Root       *textValue       `xml:"rootDeviceName"`
	Devices    *set[deviceView] `xml:"blockDeviceMapping"`
	Products   *set[struct{}]   `xml:"productCodes"`
	Check      *boolValue       `xml:"sourceDestCheck"`
	Groups     *set[groupID]    `xml:"groupSet"`
	EBS        *boolValue       `xml:"ebsOptimized"`
	Sriov      *textValue       `xml:"sriovNetSupport"`
	ENA        *boolValue       `xml:"enaSupport"`
	Enclave    *enabledView     `xml:"enclaveOptions"`
}

func (c *call) describeInstanceAttribute(in *describeInstanceAttribute) (*instanceAttributeAnswer, error) {
	i, err := get(kindInstance, c.region.Instances, in.ID)
	if err != nil {
		return nil, err
	}
	out, view := &instanceAttributeAnswer{ID: i.ID}, c.instanceView(i)
	switch in.Attribute {
	case "instanceType":
		out.Type = &textValue{i.Type}
	case "kernel":
		out.Kernel = &textValue{}
	case "ramdisk":
		out.Ramdisk = &textValue{}
	case "userData":
		out.UserData = &textValue{base64.StdEncoding.EncodeToString(i.UserData)}
	case "disableApiTermination":
		out.ProtectEnd = &boolValue{i.ProtectedTermination}
	case "disableApiStop":
		out.Protect = &boolValue{i.ProtectedStop}
	case "instanceInitiatedShutdownBehavior":
		out.Shutdown = &textValue{i.ShutdownBehavior}
	case "rootDeviceName":
		out.Root = &textValue{i.RootDevice}
	case "blockDeviceMapping":
		out.Devices = &view.Devices
	case "productCodes":
		out.Products = &set[struct{}]{}
	case "sourceDestCheck":
		out.Check = &boolValue{deref(view.Check)}
	case "groupSet":
		out.Groups = &view.Groups
	case "ebsOptimized":
		out.EBS = &boolValue{i.EBSOptimized}
	case "sriovNetSupport":
		out.Sriov = &textValue{}
	case "enaSupport":
		out.ENA = &boolValue{true}
	case "enclaveOptions":
		out.Enclave = &enabledView{}
	default:
		return nil, invalidValue(in.Attribute, "attribute", "Unknown attribute.")
	}
	return out, nil
}

type ebsChange struct {
	Volume string `q:"VolumeId"`
	Delete *bool  `q:"DeleteOnTermination"`
}

type deviceChange struct {
	Device string     `q:"DeviceName,required"`
	EBS    *ebsChange `q:"Ebs"`
	_      string     `q:"NoDevice VirtualName,unsupported"`
}

type modifyInstance struct {
	ID         string         `q:"InstanceId,required"`
	Attribute  string         `q:"Attribute"`
	Value      *string        `q:"Value"`
	Check      *boolValue     `q:"SourceDestCheck"`
	Protect    *boolValue     `q:"DisableApiStop"`
	ProtectEnd *boolValue     `q:"DisableApiTermination"`
	Devices    []deviceChange `q:"BlockDeviceMapping"`
	Type       *stringValue   `q:"InstanceType"`
	UserData   *stringValue   `q:"UserData"`
	Shutdown   *stringValue   `q:"InstanceInitiatedShutdownBehavior"`
	Groups     []string       `q:"GroupId"`
	EBS        *boolValue     `q:"EbsOptimized"`
	_          string         `q:"Kernel Ramdisk SriovNetSupport EnaSupport,unsupported"`
}

// spelled turns the form Attribute=name&Value=text into the form with a parameter of that name.
func (in *modifyInstance) spelled() error {
	if in.Attribute == "" {
		return nil
	}
	if in.Value == nil && in.Attribute != "groupSet" && in.Attribute != "blockDeviceMapping" {
		return missingParameter("value")
	}
	text, yes := deref(in.Value), boolValue{deref(in.Value) == "true"}
	switch in.Attribute {
	case "instanceType":
		in.Type = &stringValue{text}
	case "userData":
		in.UserData = &stringValue{text}
	case "instanceInitiatedShutdownBehavior":
		in.Shutdown = &stringValue{text}
	case "disableApiTermination":
		in.ProtectEnd = &yes
	case "disableApiStop":
		in.Protect = &yes
	case "sourceDestCheck":
		in.Check = &yes
	case "ebsOptimized":
		in.EBS = &yes
	case "groupSet", "blockDeviceMapping":
	default:
		return invalidValue(in.Attribute, "attribute", "Unknown attribute, or one that can't be modified.")
	}
	return nil
}

func (in *modifyInstance) count() int {
	n := 0
	for _, given := range []bool{in.Check != nil, in.Protect != nil, in.ProtectEnd != nil, len(in.Devices) > 0, in.Type != nil, in.UserData != nil,
		in.Shutdown != nil, len(in.Groups) > 0, in.EBS != nil} {
		if given {
			n++
		}
	}
	return n
}

// modifyInstance checks one attribute and then sets it.
func (c *call) modifyInstance(in *modifyInstance) (*doneAnswer, error) {
	i, err := get(kindInstance, c.region.Instances, in.ID)
	if err != nil {
		return nil, err
	}
	if err := in.spelled(); err != nil {
		return nil, err
	}
	switch n := in.count(); {
	case n == 0:
		return nil, apiErrorf("InvalidParameterCombination", "No attributes specified.")
	case n > 1:
		return nil, apiErrorf("InvalidParameterCombination", "Fields for multiple attribute types specified")
	case i.State == terminated || i.State == shuttingDown:
		return nil, apiErrorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be modified.", i.ID)
	case i.State != stopped && (in.Type != nil || in.UserData != nil || in.EBS != nil):
		return nil, apiErrorf("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.ID)
	}
	set, err := c.attributeSetter(i, in)
	if err != nil {
		return nil, err
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	set()
	return done()
}

// attributeSetter checks the new value of an attribute and returns what sets it.
func (c *call) attributeSetter(i *instance, in *modifyInstance) (func(), error) {
	nics := c.region.interfacesOf(i.ID)
	switch {
	case in.Check != nil:
		if len(nics) != 1 {
			return nil, apiErrorf("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", i.ID)
		}
		return func() { nics[0].SourceDestCheck = in.Check.Value }, nil
	case len(in.Groups) > 0:
		groups, err := c.groupsIn(i.VPC, in.Groups)
		if err == nil && len(nics) != 1 {
			err = apiErrorf("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", i.ID)
		}
		return func() { nics[0].Groups = groups }, err
	case in.Protect != nil:
		return func() { i.ProtectedStop = in.Protect.Value }, nil
	case in.ProtectEnd != nil:
		return func() { i.ProtectedTermination = in.ProtectEnd.Value }, nil
	case in.EBS != nil:
		return func() { i.EBSOptimized = in.EBS.Value }, nil
	case in.UserData != nil:
		data, err := decodeUserData(in.UserData.Value)
		return func() { i.UserData = data }, err
	case in.Shutdown != nil:
		if in.Shutdown.Value != "stop" && in.Shutdown.Value != "terminate" {
			return nil, invalidValue(in.Shutdown.Value, "instanceInitiatedShutdownBehavior", "Expected: stop or terminate")
		}
		return func() { i.ShutdownBehavior = in.Shutdown.Value }, nil
	case in.Type != nil:
		return c.typeSetter(i, in.Type.Value)
	}
	return c.deviceSetter(i, in.Devices)
}

func (c *call) typeSetter(i *instance, name string) (func(), error) {
	t, ok := c.cfg.Catalogue.Types[name]
	switch {
	case !ok:
		return nil, apiErrorf("InvalidInstanceAttributeValue", "Invalid value '%s' for InstanceType.", name)
	case archName(t.Arch) != i.Arch:
		return nil, apiErrorf("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the instance.", archName(t.Arch), i.Arch)
	case !c.cfg.Catalogue.Offered(c.zoneID(i.Zone), name):
		return nil, apiErrorf("Unsupported", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s).", name, i.Zone)
	}
	return func() {
		i.Type = name
		switch {
		case !t.Burstable:
			i.Credits = ""
		case i.Credits == "":
			i.Credits = "unlimited"
		}
	}, nil
}

func (c *call) deviceSetter(i *instance, changes []deviceChange) (func(), error) {
	volumes := c.region.volumesOf(i.ID)
	var sets []func()
	for _, d := range changes {
		at := slices.IndexFunc(volumes, func(v *volume) bool { return v.Device == d.Device })
		if at < 0 || d.EBS != nil && d.EBS.Volume != "" && d.EBS.Volume != volumes[at].ID {
			return nil, apiErrorf("InvalidInstanceAttributeValue", "No device is currently mapped at %s", d.Device)
		}
		if d.EBS == nil || d.EBS.Delete == nil {
			return nil, missingParameter("BlockDeviceMapping.N.Ebs.DeleteOnTermination")
		}
		sets = append(sets, func() { volumes[at].DeleteOnTermination = *d.EBS.Delete })
	}
	return func() {
		for _, set := range sets {
			set()
		}
	}, nil
}

// metadataDefaults are an image's options of the metadata service: newer images ask for session tokens.
func metadataDefaults(img image) metadataOptions {
	m := metadataOptions{Tokens: "optional", Endpoint: "enabled", Tags: "disabled", HopLimit: 1}
	if img.IMDS == "v2.0" {
		m.Tokens, m.HopLimit = "required", 2
	}
	return m
}

// changed returns the options with what a request gives.
func (m metadataOptions) changed(in metadataInput) (metadataOptions, error) {
	for _, f := range []struct {
		given, name string
		may         []string
		into        *string
	}{
		{in.Tokens, "httpTokens", []string{"optional", "required"}, &m.Tokens},
		{in.Endpoint, "httpEndpoint", []string{"enabled", "disabled"}, &m.Endpoint},
		{in.Tags, "instanceMetadataTags", []string{"enabled", "disabled"}, &m.Tags},
		{in.IPv6, "httpProtocolIpv6", []string{"disabled"}, new(string)},
	} {
		if f.given == "" {
			continue
		}
		if !slices.Contains(f.may, f.given) {
			return m, invalidValue(f.given, f.name, "Expected one of the service's values.")
		}
		*f.into = f.given
	}
	if in.HopLimit != nil {
		if *in.HopLimit < 1 || *in.HopLimit > 64 {
			return m, invalidValue(*in.HopLimit, "httpPutResponseHopLimit", "Expected a value between 1 and 64.")
		}
		m.HopLimit = *in.HopLimit
	}
	return m, nil
}

type modifyMetadata struct {
	ID string `q:"InstanceId,required"`
	metadataInput
}

type modifyMetadataAnswer struct {
	meta
	ID      string        `xml:"instanceId"`
	Options *metadataView `xml:"instanceMetadataOptions"`
}

func (c *call) modifyMetadata(in *modifyMetadata) (*modifyMetadataAnswer, error) {
	i, err := get(kindInstance, c.region.Instances, in.ID)
	if err != nil {
		return nil, err
	}
	options, err := i.Metadata.changed(in.metadataInput)
	if err != nil {
		return nil, err
	}
	if i.State == terminated || i.State == shuttingDown {
		return nil, apiErrorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be modified.", i.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	i.Metadata = options
	return &modifyMetadataAnswer{ID: i.ID, Options: options.view()}, nil
}
