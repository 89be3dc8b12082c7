package arm

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/lab/world"
)

// machine is a virtual machine.
type machine struct {
	head
	Identity   *identity         `json:"identity,omitempty"`
	Properties machineProperties `json:"properties"`
	// Kept is what the lab knows of it and answers don't show.
	Kept *kept `json:"kept,omitempty"`
}

type identity struct {
	Type        string `json:"type,omitempty"`
	PrincipalID string `json:"principalId,omitempty"`
	TenantID    string `json:"tenantId,omitempty"`
}

// kept is what is never read back: the custom data, the state of the machine, and how often it was changed.
type kept struct {
	CustomData string `json:"customData,omitempty"`
	Power      string `json:"power"`
	Since      string `json:"since"`
	Version    int    `json:"version"`
	// Incarnation counts the machine's boots, for the wire server.
	Incarnation int `json:"incarnation"`
	// Unmade says that the machine's creation hasn't succeeded.
	Unmade bool `json:"unmade,omitempty"`
}

type machineProperties struct {
	HardwareProfile struct {
		VMSize string `json:"vmSize,omitempty"`
	} `json:"hardwareProfile"`
	ProvisioningState  string             `json:"provisioningState,omitempty"`
	VMID               string             `json:"vmId,omitempty"`
	StorageProfile     storageProfile     `json:"storageProfile"`
	OSProfile          *osProfile         `json:"osProfile,omitempty"`
	NetworkProfile     networkProfile     `json:"networkProfile"`
	SecurityProfile    *securityProfile   `json:"securityProfile,omitempty"`
	DiagnosticsProfile *diagnostics       `json:"diagnosticsProfile,omitempty"`
	ScheduledEvents    *scheduledSettings `json:"scheduledEventsProfile,omitempty"`
	Priority           string             `json:"priority,omitempty"`
	UserData           string             `json:"userData,omitempty"`
	TimeCreated        string             `json:"timeCreated,omitempty"`
	InstanceView       *instanceView      `json:"instanceView,omitempty"`
}

type storageProfile struct {
	ImageReference     *imageReference `json:"imageReference,omitempty"`
	OSDisk             *machineDisk    `json:"osDisk,omitempty"`
	DataDisks          []*machineDisk  `json:"dataDisks"`
	DiskControllerType string          `json:"diskControllerType,omitempty"`
}

type imageReference struct {
	Publisher    string `json:"publisher,omitempty"`
	Offer        string `json:"offer,omitempty"`
	SKU          string `json:"sku,omitempty"`
	Version      string `json:"version,omitempty"`
	ExactVersion string `json:"exactVersion,omitempty"`
}

type machineDisk struct {
	Lun          *int         `json:"lun,omitempty"`
	OSType       string       `json:"osType,omitempty"`
	Name         string       `json:"name,omitempty"`
	CreateOption string       `json:"createOption,omitempty"`
	Caching      string       `json:"caching,omitempty"`
	ManagedDisk  *managedDisk `json:"managedDisk,omitempty"`
	DeleteOption string       `json:"deleteOption,omitempty"`
	DiskSizeGB   int          `json:"diskSizeGB,omitempty"`
	ToBeDetached *bool        `json:"toBeDetached,omitempty"`
}

type managedDisk struct {
	StorageAccountType string `json:"storageAccountType,omitempty"`
	ID                 string `json:"id,omitempty"`
}

type osProfile struct {
	ComputerName       string        `json:"computerName,omitempty"`
	AdminUsername      string        `json:"adminUsername,omitempty"`
	AdminPassword      string        `json:"adminPassword,omitempty"`
	CustomData         string        `json:"customData,omitempty"`
	LinuxConfiguration *linuxProfile `json:"linuxConfiguration,omitempty"`
	Secrets            []ref         `json:"secrets"`
	AllowExtensions    *bool         `json:"allowExtensionOperations,omitempty"`
	RequireSignal      *bool         `json:"requireGuestProvisionSignal,omitempty"`
}

type linuxProfile struct {
	DisablePasswordAuthentication bool           `json:"disablePasswordAuthentication"`
	SSH                           *sshProfile    `json:"ssh,omitempty"`
	ProvisionVMAgent              *bool          `json:"provisionVMAgent,omitempty"`
	PatchSettings                 *patchSettings `json:"patchSettings,omitempty"`
	EnableVMAgentPlatformUpdates  bool           `json:"enableVMAgentPlatformUpdates,omitempty"`
}

type patchSettings struct {
	PatchMode      string `json:"patchMode,omitempty"`
	AssessmentMode string `json:"assessmentMode,omitempty"`
}

type sshProfile struct {
	PublicKeys []sshKey `json:"publicKeys"`
}

type sshKey struct {
	Path    string `json:"path,omitempty"`
	KeyData string `json:"keyData,omitempty"`
}

type networkProfile struct {
	NetworkInterfaces []machineInterface `json:"networkInterfaces"`
}

type machineInterface struct {
	ID         string `json:"id,omitempty"`
	Properties struct {
		Primary      *bool  `json:"primary,omitempty"`
		DeleteOption string `json:"deleteOption,omitempty"`
	} `json:"properties,omitzero"`
}

type securityProfile struct {
	SecurityType string `json:"securityType,omitempty"`
	UEFISettings *struct {
		SecureBootEnabled *bool `json:"secureBootEnabled,omitempty"`
		VTPMEnabled       *bool `json:"vTpmEnabled,omitempty"`
	} `json:"uefiSettings,omitempty"`
}

type diagnostics struct {
	BootDiagnostics *struct {
		Enabled bool `json:"enabled"`
	} `json:"bootDiagnostics,omitempty"`
}

type scheduledSettings struct {
	TerminateNotificationProfile *struct {
		NotBeforeTimeout string `json:"notBeforeTimeout,omitempty"`
		Enable           bool   `json:"enable"`
	} `json:"terminateNotificationProfile,omitempty"`
}

func (m *machine) state() *string { return &m.Properties.ProvisioningState }

// disks are all disks of a machine, the system's first.
func (m *machine) disks() []*machineDisk {
	var out []*machineDisk
	if m.Properties.StorageProfile.OSDisk != nil {
		out = append(out, m.Properties.StorageProfile.OSDisk)
	}
	return append(out, m.Properties.StorageProfile.DataDisks...)
}

// changed gives a machine its next tag: they are numbers.
func (m *machine) changed() {
	m.Kept.Version++
	m.ETag = strconv.Quote(strconv.Itoa(m.Kept.Version))
}

// machineView is a machine as answers show it: what is secret is left out, and its state unless it is asked for.
func (s *Service) machineView(m *machine, status bool) *machine {
	v := clone(m)
	v.Kept, v.Properties.UserData = nil, ""
	if m.Properties.ProvisioningState == stateCreating {
		for _, d := range v.disks() {
			if d.ManagedDisk != nil {
				d.ManagedDisk.ID = "" // the disks aren't made yet, as far as anybody sees
			}
		}
	}
	if m.Kept.Power == powerDeallocated {
		v.Properties.StorageProfile.OSDisk.DiskSizeGB = 0 // Azure knows it only of disks that a host has
	}
	if status {
		v.Properties.InstanceView = s.instanceView(m)
	}
	return v
}

// instanceView is what a machine does.
type instanceView struct {
	ComputerName string           `json:"computerName,omitempty"`
	OSName       string           `json:"osName,omitempty"`
	OSVersion    string           `json:"osVersion,omitempty"`
	Generation   string           `json:"hyperVGeneration,omitempty"`
	Agent        *agentView       `json:"vmAgent,omitempty"`
	Disks        []diskStatus     `json:"disks,omitempty"`
	Statuses     []instanceStatus `json:"statuses"`
}

type agentView struct {
	Version  string           `json:"vmAgentVersion"`
	Statuses []instanceStatus `json:"statuses"`
}

type diskStatus struct {
	Name     string           `json:"name"`
	Statuses []instanceStatus `json:"statuses"`
}

type instanceStatus struct {
	Code          string `json:"code"`
	Level         string `json:"level"`
	DisplayStatus string `json:"displayStatus"`
	Message       string `json:"message,omitempty"`
	Time          string `json:"time,omitempty"`
}

func (s *Service) instanceView(m *machine) *instanceView {
	v := &instanceView{Generation: "V2"}
	state := m.Properties.ProvisioningState
	v.Statuses = []instanceStatus{{Code: "ProvisioningState/" + strings.ToLower(state), Level: "Info", DisplayStatus: displayState(state), Time: m.Kept.Since}}
	if state == stateFailed {
		v.Statuses[0].Level = "Error"
	}
	if p := m.Kept.Power; p != "" {
		v.Statuses = append(v.Statuses, instanceStatus{Code: "PowerState/" + p, Level: "Info", DisplayStatus: "VM " + p})
	}
	for _, d := range m.disks() {
		v.Disks = append(v.Disks, diskStatus{Name: d.Name, Statuses: []instanceStatus{{Code: "ProvisioningState/succeeded", Level: "Info", DisplayStatus: "Provisioning succeeded", Time: m.Kept.Since}}})
	}
	if m.Kept.Power == powerRunning {
		v.ComputerName, v.OSName, v.OSVersion = m.Properties.OSProfile.ComputerName, "debian", "12"
		v.Agent = &agentView{"2.2.47", []instanceStatus{{Code: "ProvisioningState/succeeded", Level: "Info", DisplayStatus: "Ready", Message: "Guest Agent is running", Time: m.Kept.Since}}}
	}
	return v
}

func displayState(state string) string {
	switch state {
	case stateSucceeded:
		return "Provisioning succeeded"
	case stateFailed:
		return "Provisioning failed"
	}
	return state
}

func (s *Service) getInstanceView(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := wholeOf(c, s.st.Machines, c.id+"/x")
	if err != nil {
		return nil, err
	}
	return shown(http.StatusOK, s.instanceView(m)), nil
}

func (s *Service) listMachinesAt(c *call) (*answer, *apiError) {
	place, _ := s.cat.location(c.vars["location"])
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []any
	for _, m := range ordered(s.st.Machines) {
		if m.Location == place.Name {
			out = append(out, s.machineView(m, false))
		}
	}
	return s.page(c, out)
}

// worldMachine is a machine as the physical side runs it.
func (s *Service) worldMachine(m *machine) world.Machine {
	size, _ := s.cat.size(m.Properties.HardwareProfile.VMSize)
	return world.Machine{
		ID: m.Properties.VMID, Hostname: m.Properties.OSProfile.ComputerName, Name: m.Name, Datasource: "Azure", VCPUs: size.VCPUs, MemoryMiB: size.MemoryMiB,
	}
}

// matchMachine holds If-Match, or the tag in a body, against a machine's.
func matchMachine(c *call, given string, old *machine) *apiError {
	match, now := c.r.Header.Get("If-Match"), ""
	if match == "" {
		match = given
	}
	if old != nil {
		now = old.ETag
	}
	switch {
	case c.r.Header.Get("If-None-Match") == "*" && old != nil:
		return refuse(http.StatusPreconditionFailed, "PreconditionFailed", "Resource %s exists, and the request has the header If-None-Match: *.", old.ID)
	case match == "" || match == "*" && old != nil || strings.Trim(match, `"`) == strings.Trim(now, `"`) && old != nil:
		return nil
	}
	return refuse(http.StatusPreconditionFailed, "PreconditionFailed", `Etag provided in if-match header "%s" does not match etag "%s" of resource.`, strings.Trim(match, `"`), strings.Trim(now, `"`))
}

// maxData is the most that custom and user data may have, encoded.
const maxData = 87380

// checkProfile checks the system's settings of a new machine and completes them.
func checkProfile(in *machine) *apiError {
	p := in.Properties.OSProfile
	if p == nil {
		return invalidParameter("osProfile", "Required parameter 'osProfile' is missing (null).")
	}
	if p.ComputerName == "" {
		p.ComputerName = in.Name
	}
	if len(p.ComputerName) > 64 || strings.Trim(strings.ToLower(p.ComputerName), "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return invalidParameter("computerName", "Linux host name cannot exceed 64 characters in length or contain the following characters: ` ~ ! @ # $ %% ^ & * ( ) = + _ [ ] { } \\ | ; : ' \" , < > / ?.")
	}
	if p.AdminUsername == "" {
		return invalidParameter("adminUsername", "Required parameter 'adminUsername' is missing (null).")
	}
	if slices.Contains([]string{"root", "admin", "administrator", "user", "test", "guest"}, strings.ToLower(p.AdminUsername)) {
		return invalidParameter("adminUsername", "The Admin Username specified is not allowed.")
	}
	keys := 0
	if p.LinuxConfiguration != nil && p.LinuxConfiguration.SSH != nil {
		for _, k := range p.LinuxConfiguration.SSH.PublicKeys {
			if want := "/home/" + p.AdminUsername + "/.ssh/authorized_keys"; k.Path != want {
				return invalidParameter("linuxConfiguration.ssh.publicKeys.path", "Destination path for SSH public keys is currently limited to its default value %s  due to a known issue in Linux provisioning agent.", want)
			}
			if f := strings.Fields(k.KeyData); len(f) < 2 || f[0] != "ssh-rsa" && f[0] != "ssh-ed25519" {
				return invalidParameter("linuxConfiguration.ssh.publicKeys.keyData", "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid.")
			}
			keys++
		}
	}
	switch {
	case p.AdminPassword == "" && (p.LinuxConfiguration == nil || !p.LinuxConfiguration.DisablePasswordAuthentication):
		return invalidParameter("adminPassword", "Required parameter 'adminPassword' is missing (null).")
	case p.AdminPassword == "" && keys == 0:
		return invalidParameter("linuxConfiguration", "Authentication using either SSH or by user name and password must be enabled in Linux profile. For more information, see https://aka.ms/linuxprofile")
	}
	for target, data := range map[string]string{"customData": p.CustomData, "userData": in.Properties.UserData} {
		if _, err := base64.StdEncoding.DecodeString(data); err != nil {
			return invalidParameter(target, "%s contains invalid Base64 characters.", strings.ToUpper(target[:1])+target[1:])
		}
		if len(data) > maxData {
			return invalidParameter(target, "%s cannot exceed %d characters in length.", strings.ToUpper(target[:1])+target[1:], maxData)
		}
	}
	return nil
}

// patchMachine changes what a PATCH may: of what it doesn't speak, all stays as it is.
func (s *Service) patchMachine(c *call) (*answer, *apiError) {
	in, err := decode[machine](c.body)
	if err != nil {
		return nil, err
	}
	var given struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(c.body, &given); err != nil {
		return nil, internalError(err)
	}
	for name := range given.Properties {
		if !slices.Contains([]string{"userData", "diagnosticsProfile", "storageProfile", "hardwareProfile", "osProfile", "networkProfile", "securityProfile"}, name) {
			return nil, unsupported("Changing '%s' by PATCH is not supported.", name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.st.Machines[key(c.id)]
	if m == nil {
		return nil, resourceNotFound(c.id)
	}
	if err := matchMachine(c, in.ETag, m); err != nil {
		return nil, err
	}
	if err := s.machineFree(m); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	in.Name, in.ID, in.Location, in.Zones = m.Name, m.ID, m.Location, m.Zones
	if err := s.checkChanges(in, m); err != nil {
		return nil, err
	}
	if in.Identity != nil {
		if err := s.identify(in, m); err != nil {
			return nil, err
		}
		m.Identity = in.Identity
	}
	if in.Tags != nil {
		m.Tags = in.Tags
	}
	if _, ok := given.Properties["userData"]; ok {
		m.Properties.UserData = in.Properties.UserData
	}
	if _, ok := given.Properties["diagnosticsProfile"]; ok {
		m.Properties.DiagnosticsProfile = in.Properties.DiagnosticsProfile
	}
	return s.updatingMachine(c, m, apply(in, m))
}
