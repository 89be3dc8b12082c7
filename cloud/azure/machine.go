package azure

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"golang.org/x/crypto/ssh"

	"github.com/skyweld/skyweld/cloud"
)

// The image that machines boot from: Ubuntu 24.04 LTS, the newest of its second generation.
const (
	imagePublisher = "Canonical"
	imageOffer     = "ubuntu-24_04-lts"
	imageSKU       = "server"
)

// adminName is the user that Azure wants every machine to have. Nobody logs in as that.
const adminName = "skyweld"

// maxCustomData is how long user data may be, in bytes.
const maxCustomData = 65535

func customData(userData []byte) string { return base64.StdEncoding.EncodeToString(userData) }

// throwawayKey is a public key whose private half nobody has: Azure makes no machine without a password or a key, and ours
// come with the user data.
func throwawayKey() (string, error) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	return string(ssh.MarshalAuthorizedKey(key)), nil
}

func (w *work) putMachine(ctx context.Context, s *MachineSpec) (cloud.Object, error) {
	body, err := w.machineBody(s)
	if err != nil {
		return cloud.Object{}, err
	}
	// Where one is there it would be changed; it wasn't a moment ago.
	p, err := w.d.machines.BeginCreateOrUpdate(ctx, w.group, w.name, *body, &armcompute.VirtualMachinesClientBeginCreateOrUpdateOptions{IfNoneMatch: ptr("*")})
	if err := done(ctx, p, err); err != nil {
		return cloud.Object{}, err
	}
	now, err := w.get(ctx)
	return now.object, err
}

func (w *work) machineBody(s *MachineSpec) (*armcompute.VirtualMachine, error) {
	if len(w.userData) > maxCustomData {
		return nil, invalid("the user data has %d bytes; Azure takes %d", len(w.userData), maxCustomData)
	}
	nic, err := w.ref(s.Interface)
	if err != nil {
		return nil, err
	}
	key, err := throwawayKey()
	if err != nil {
		return nil, err
	}
	tags := w.tags(nil)
	tags[tagToken] = &w.token
	return &armcompute.VirtualMachine{
		Location: &w.res.Region, Tags: tags, Zones: zonesBody(s.Zone, w.res.Region),
		Properties: &armcompute.VirtualMachineProperties{
			HardwareProfile: &armcompute.HardwareProfile{VMSize: ptr(armcompute.VirtualMachineSizeTypes(s.Type))},
			SecurityProfile: securityBody(s),
			StorageProfile:  w.storageBody(s),
			OSProfile: &armcompute.OSProfile{
				ComputerName: &w.res.Machine, AdminUsername: ptr(adminName), CustomData: ptr(customData(w.userData)),
				AllowExtensionOperations: &s.Extensions,
				LinuxConfiguration: &armcompute.LinuxConfiguration{
					DisablePasswordAuthentication: ptr(true), ProvisionVMAgent: ptr(true),
					SSH: &armcompute.SSHConfiguration{PublicKeys: []*armcompute.SSHPublicKey{{
						Path: ptr("/home/" + adminName + "/.ssh/authorized_keys"), KeyData: &key,
					}}},
				},
			},
			NetworkProfile: &armcompute.NetworkProfile{NetworkInterfaces: []*armcompute.NetworkInterfaceReference{{
				ID: &nic, Properties: &armcompute.NetworkInterfaceReferenceProperties{Primary: ptr(true), DeleteOption: interfaceOption(s.InterfaceDelete)},
			}}},
			DiagnosticsProfile: diagnosticsBody(s.BootDiagnostics),
		},
	}, nil
}

func securityBody(s *MachineSpec) *armcompute.SecurityProfile {
	if s.SecurityType != trustedLaunch {
		return nil
	}
	return &armcompute.SecurityProfile{
		SecurityType: ptr(armcompute.SecurityTypesTrustedLaunch),
		UefiSettings: &armcompute.UefiSettings{SecureBootEnabled: &s.SecureBoot, VTpmEnabled: &s.TPM},
	}
}

func diagnosticsBody(on bool) *armcompute.DiagnosticsProfile {
	return &armcompute.DiagnosticsProfile{BootDiagnostics: &armcompute.BootDiagnostics{Enabled: &on}}
}

func (w *work) storageBody(s *MachineSpec) *armcompute.StorageProfile {
	return &armcompute.StorageProfile{
		ImageReference: &armcompute.ImageReference{Publisher: ptr(imagePublisher), Offer: ptr(imageOffer), SKU: ptr(imageSKU), Version: ptr("latest")},
		OSDisk: &armcompute.OSDisk{
			Name: ptr(w.owner.ResourceName(diskKey(w.res, w.token))), CreateOption: ptr(armcompute.DiskCreateOptionTypesFromImage), DiskSizeGB: ptr(int32(s.DiskGiB)),
			DeleteOption: deleteOption(s.DiskDelete), Caching: ptr(armcompute.CachingTypesReadOnly),
			ManagedDisk: &armcompute.ManagedDiskParameters{StorageAccountType: ptr(armcompute.StorageAccountTypes(s.DiskType))},
		},
	}
}

func deleteOption(along bool) *armcompute.DiskDeleteOptionTypes {
	if along {
		return ptr(armcompute.DiskDeleteOptionTypesDelete)
	}
	return ptr(armcompute.DiskDeleteOptionTypesDetach)
}

func interfaceOption(along bool) *armcompute.DeleteOptions {
	if along {
		return ptr(armcompute.DeleteOptionsDelete)
	}
	return ptr(armcompute.DeleteOptionsDetach)
}

// getMachine reads a machine, with whether it runs.
func (w *work) getMachine(ctx context.Context, at place) (found, error) {
	x, err := w.d.machines.Get(ctx, at.group, at.name, &armcompute.VirtualMachinesClientGetOptions{Expand: ptr(armcompute.InstanceViewTypesInstanceView)})
	if err != nil {
		return found{}, err
	}
	j, err := w.joined(ctx, &x.VirtualMachine)
	if err != nil {
		return found{}, err
	}
	out := found{object: j.machine(&x.VirtualMachine), token: tagOf(x.Tags, tagToken)}
	if x.Properties != nil {
		out.provisioning = val(x.Properties.ProvisioningState)
	}
	return out, nil
}

// joined reads of a machine's interface and disk what its own answer lacks.
func (w *work) joined(ctx context.Context, x *armcompute.VirtualMachine) (join, error) {
	s := &snapshot{}
	if at := parsePath(firstInterface(x)); at.kind == kindInterface {
		n, err := w.d.interfaces.Get(ctx, at.group, at.name, nil)
		if unlessGone(err) != nil {
			return join{}, fmt.Errorf("read its interface: %w", err)
		}
		if err == nil {
			s.interfaces = []*armnetwork.Interface{&n.Interface}
		}
	}
	if at := parsePath(systemDiskOf(x)); at.kind == kindDisk {
		disk, err := w.d.disks.Get(ctx, at.group, at.name, nil)
		if unlessGone(err) != nil {
			return join{}, fmt.Errorf("read its disk: %w", err)
		}
		if err == nil {
			s.disks = []*armcompute.Disk{&disk.Disk}
		}
	}
	j := s.join()
	for path, key := range w.names() {
		j.names[path] = key
	}
	for _, o := range w.refs {
		if p, err := parseID(o.ID); err == nil && o.Address.IsValid() {
			j.addresses[p.path] = o.Address
		}
	}
	for path := range j.nics { // again, now that the addresses have their keys
		j.nics[path] = interfaceObject(s.interfaces[0], j.names)
	}
	return j, nil
}

// consoleLimit is how much Console returns at most, in bytes.
const consoleLimit = 64 << 10

// Console returns the last part of what the machine wrote to its serial port. Azure keeps that in storage of its own and
// gives a link to it that is good for a while.
func (d *Driver) Console(ctx context.Context, machine cloud.Object) ([]byte, error) {
	out, err := d.console(ctx, machine)
	return out, failed("read the console of "+machine.Key, err)
}

func (d *Driver) console(ctx context.Context, machine cloud.Object) ([]byte, error) {
	at, err := parseID(machine.ID)
	if err != nil {
		return nil, err
	}
	links, err := d.machines.RetrieveBootDiagnosticsData(ctx, at.group, at.name, nil)
	if err != nil {
		return nil, err
	}
	link := val(links.SerialConsoleLogBlobURI)
	if link == "" {
		return nil, nil // it hasn't written anything yet
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, invalid("the link to the boot log is no URL") // it holds a signature
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, hideLink(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		return nil, &cloud.Error{Class: classOfCode("", "", resp.StatusCode), Message: "the storage of boot logs answered " + resp.Status}
	}
	return tail(resp.Body, consoleLimit)
}

// tail keeps the last part of a stream.
func tail(r io.Reader, n int) ([]byte, error) {
	var kept []byte
	buf := make([]byte, 32<<10)
	for {
		read, err := r.Read(buf)
		kept = append(kept, buf[:read]...)
		kept = kept[max(0, len(kept)-n):]
		if err == io.EOF {
			return kept, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the boot log: %w", err)
		}
	}
}

// hideLink takes the link out of an error of the HTTP client: whoever has it can read the log.
func hideLink(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		if at, perr := url.Parse(u.URL); perr == nil {
			return &url.Error{Op: u.Op, URL: at.Scheme + "://" + at.Host, Err: u.Err}
		}
	}
	return err
}
