package ec2

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// image is a machine image. Every region has the same ones under its own ids.
type image struct {
	ID, Name, Description, Owner, Alias string
	Arch                                string // "x86_64" or "arm64"
	RootDevice, Snapshot, BootMode      string
	RootSize                            int    // GiB
	IMDS                                string // "v2.0" when its instances ask for session tokens
	VolumeType                          string
	Ephemeral                           bool // maps two instance-store devices, as Canonical's images do
	Created                             time.Time
}

// The accounts that publish images. The last is nobody's: its images bear the names of Canonical's newest, so that
// a client that looks for a name without an owner is caught.
const (
	ownerCanonical = "099720109477"
	ownerDebian    = "136693071363"
	ownerAmazon    = "137112412989"
	ownerImpostor  = "458619203377"
)

// deprecatedAfter is how long after its publication EC2 marks a public image as deprecated and no longer lists it.
const deprecatedAfter = 2 * 365 * 24 * time.Hour

// Dates of releases; the names of images carry them.
var (
	ubuntuDates = []string{"20240423", "20240927", "20250115", "20250516", "20250821", "20251022", "20260205", "20260618", "20260917"}
	debianDates = []string{"20250316-2053", "20250814-2204", "20260112-1820", "20260713-2204"}
	amazonDates = []string{"2023.7.20250428.1", "2023.8.20250818.0", "2023.9.20251117.1", "2023.10.20260810.0"}
)

// images makes and remembers each region's images.
type images struct {
	mu       sync.Mutex
	byRegion map[string]map[string]image
}

func newImages() *images { return &images{byRegion: map[string]map[string]image{}} }

// of returns a region's images by id.
func (x *images) of(region string) map[string]image {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := x.byRegion[region]
	if all == nil {
		all = map[string]image{}
		for _, img := range published() {
			img.ID = kindImage.prefix + "0" + fingerprint(region, img.Owner, img.Name)
			img.Snapshot = "snap-0" + fingerprint("snapshot", region, img.Owner, img.Name)
			all[img.ID] = img
		}
		x.byRegion[region] = all
	}
	return all
}

func (x *images) find(region, id string) (image, bool) {
	img, ok := x.of(region)[id]
	return img, ok
}

func (x *images) bySnapshot(region, snapshot string) (image, bool) {
	for _, img := range x.of(region) {
		if img.Snapshot == snapshot {
			return img, true
		}
	}
	return image{}, false
}

// fingerprint is 16 hexadecimal digits that are the same in every lab.
func fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// published are all public images, without what differs by region.
func published() []image {
	var all []image
	for _, d := range ubuntuDates {
		for _, arch := range []string{"amd64", "arm64"} {
			all = append(all, ubuntu("noble-24.04", "24.04", "hvm-ssd-gp3", "v2.0", arch, d), ubuntu("jammy-22.04", "22.04", "hvm-ssd", "", arch, d))
		}
	}
	for _, d := range debianDates {
		for _, arch := range []string{"amd64", "arm64"} {
			all = append(all, image{Name: "debian-12-" + arch + "-" + d, Description: "Debian 12 (" + d + ")", Owner: ownerDebian, Alias: "amazon",
				Arch: archName(arch), RootDevice: "/dev/xvda", RootSize: 8, BootMode: bootMode(arch), VolumeType: "gp2", Created: dated(d[:8])})
		}
	}
	for _, d := range amazonDates {
		for _, arch := range []string{"amd64", "arm64"} {
			kernel := "6.1"
			name := fmt.Sprintf("al2023-ami-%s-kernel-%s-%s", d, kernel, archName(arch))
			all = append(all, image{Name: name, Description: "Amazon Linux 2023 AMI " + d + " " + archName(arch) + " HVM kernel-" + kernel,
				Owner: ownerAmazon, Alias: "amazon", Arch: archName(arch), RootDevice: "/dev/xvda", RootSize: 8, BootMode: bootMode(arch),
				VolumeType: "gp3", IMDS: "v2.0", Created: dated(strings.Split(d, ".")[2])})
		}
	}
	newest := ubuntuDates[len(ubuntuDates)-1]
	for _, arch := range []string{"amd64", "arm64"} {
		fake := ubuntu("noble-24.04", "24.04", "hvm-ssd-gp3", "", arch, newest)
		fake.Owner, fake.Alias, fake.Description = ownerImpostor, "", "Ubuntu 24.04 LTS"
		fake.Created = fake.Created.Add(9 * 24 * time.Hour)
		all = append(all, fake)
	}
	return all
}

func ubuntu(release, version, storage, imds, arch, date string) image {
	return image{Name: "ubuntu/images/" + storage + "/ubuntu-" + release + "-" + arch + "-server-" + date,
		Description: "Canonical, Ubuntu, " + version + ", " + arch + " " + strings.Split(release, "-")[0] + " image build on " + date,
		Owner:       ownerCanonical, Alias: "amazon", Arch: archName(arch), RootDevice: "/dev/sda1", RootSize: 8, BootMode: bootMode(arch),
		VolumeType: map[bool]string{true: "gp3", false: "gp2"}[storage == "hvm-ssd-gp3"], IMDS: imds, Ephemeral: true, Created: dated(date)}
}

func bootMode(arch string) string {
	if arch == "arm64" {
		return "uefi"
	}
	return "uefi-preferred"
}

// dated is a time of day on a date like 20260618.
func dated(date string) time.Time {
	t, _ := time.Parse("20060102", date) // the dates are the constants above
	return t.Add(6*time.Hour + 42*time.Minute + 17*time.Second)
}

// archName is EC2's name of an architecture.
func archName(arch string) string {
	if arch == "amd64" {
		return "x86_64"
	}
	return arch
}

type describeImages struct {
	describe
	Executable []string `q:"ExecutableBy"`
	IDs        []string `q:"ImageId"`
	Owners     []string `q:"Owner"`
	Deprecated bool     `q:"IncludeDeprecated"`
	Disabled   bool     `q:"IncludeDisabled"`
}

type imageEBS struct {
	Delete     bool   `xml:"deleteOnTermination"`
	IOPS       int    `xml:"iops,omitempty"`
	Snapshot   string `xml:"snapshotId"`
	Size       int    `xml:"volumeSize"`
	Type       string `xml:"volumeType"`
	Throughput int    `xml:"throughput,omitempty"`
	Encrypted  bool   `xml:"encrypted"`
}

type imageDevice struct {
	Device  string    `xml:"deviceName"`
	Virtual string    `xml:"virtualName,omitempty"`
	EBS     *imageEBS `xml:"ebs"`
}

type imageView struct {
	ID          string           `xml:"imageId"`
	Location    string           `xml:"imageLocation"`
	State       string           `xml:"imageState"`
	Owner       string           `xml:"imageOwnerId"`
	Created     string           `xml:"creationDate"`
	Public      bool             `xml:"isPublic"`
	Arch        string           `xml:"architecture"`
	Type        string           `xml:"imageType"`
	Alias       string           `xml:"imageOwnerAlias,omitempty"`
	Name        string           `xml:"name"`
	Description string           `xml:"description"`
	RootType    string           `xml:"rootDeviceType"`
	RootDevice  string           `xml:"rootDeviceName"`
	Devices     set[imageDevice] `xml:"blockDeviceMapping"`
	Virtual     string           `xml:"virtualizationType"`
	Hypervisor  string           `xml:"hypervisor"`
	ENA         bool             `xml:"enaSupport"`
	Sriov       string           `xml:"sriovNetSupport"`
	Platform    string           `xml:"platformDetails"`
	Usage       string           `xml:"usageOperation"`
	BootMode    string           `xml:"bootMode"`
	Deprecated  string           `xml:"deprecationTime"`
	IMDS        string           `xml:"imdsSupport,omitempty"`
}

func (i image) deprecated() time.Time { return i.Created.Add(deprecatedAfter) }

func (i image) view() imageView {
	ebs := &imageEBS{Delete: true, Snapshot: i.Snapshot, Size: i.RootSize, Type: i.VolumeType}
	if i.VolumeType == "gp3" {
		ebs.IOPS, ebs.Throughput = 3000, 125
	}
	devices := []imageDevice{{Device: i.RootDevice, EBS: ebs}}
	if i.Ephemeral {
		devices = append(devices, imageDevice{Device: "/dev/sdb", Virtual: "ephemeral0"}, imageDevice{Device: "/dev/sdc", Virtual: "ephemeral1"})
	}
	location := i.Owner
	if i.Alias != "" {
		location = i.Alias
	}
	return imageView{ID: i.ID, Location: location + "/" + i.Name, State: "available", Owner: i.Owner, Created: stamp(i.Created), Public: true,
		Arch: i.Arch, Type: "machine", Alias: i.Alias, Name: i.Name, Description: i.Description, RootType: "ebs", RootDevice: i.RootDevice,
		Devices: setOf(devices), Virtual: "hvm", Hypervisor: "xen", ENA: true, Sriov: "simple", Platform: "Linux/UNIX", Usage: "RunInstances",
		BootMode: i.BootMode, Deprecated: stamp(i.deprecated()), IMDS: i.IMDS}
}

type describeImagesAnswer struct {
	meta
	Images set[imageView] `xml:"imagesSet"`
	Next   string         `xml:"nextToken,omitempty"`
}

func (c *call) describeImages(in *describeImages) (*describeImagesAnswer, error) {
	if err := notBoth(in.paging, in.IDs, "imageIds"); err != nil {
		return nil, err
	}
	all := map[string]image{}
	for id, img := range c.images.of(c.region.Name) {
		hidden := !in.Deprecated && c.now.After(img.deprecated())
		foreign := len(in.Owners) > 0 && !slices.Contains(in.Owners, img.Owner) && (img.Alias == "" || !slices.Contains(in.Owners, img.Alias))
		private := len(in.Executable) > 0 && !slices.Contains(in.Executable, "all")
		if (!hidden || slices.Contains(in.IDs, id)) && !foreign && !private {
			all[id] = img
		}
	}
	for _, id := range in.IDs {
		if _, ok := c.images.find(c.region.Name, id); !ok {
			return nil, kindImage.missing(id)
		}
	}
	wanted := slices.DeleteFunc(slices.Clone(in.IDs), func(id string) bool { _, ok := all[id]; return !ok })
	if len(in.IDs) > 0 && len(wanted) == 0 {
		all = nil
	}
	list, err := search[image]{kindImage, all, wanted, in.Filters, imageFields, func(image) tags { return nil }}.run()
	if err != nil {
		return nil, err
	}
	page, next, err := cut(in.paging, list, func(i image) string { return i.ID }, 1, 1000)
	return &describeImagesAnswer{Images: views(page, image.view), Next: next}, err
}

func imageField(f func(imageView) string) func(image) []string {
	return func(i image) []string { return one(f(i.view())) }
}

func noImageField(image) []string { return nil }

var imageFields = fields[image]{
	"architecture": imageField(func(v imageView) string { return v.Arch }),
	"block-device-mapping.delete-on-termination": func(image) []string { return yesNo(true) },
	"block-device-mapping.device-name":           imageField(func(v imageView) string { return v.RootDevice }),
	"block-device-mapping.encrypted":             func(image) []string { return yesNo(false) },
	"block-device-mapping.snapshot-id":           func(i image) []string { return one(i.Snapshot) },
	"block-device-mapping.volume-size":           func(i image) []string { return one(itoa(i.RootSize)) },
	"block-device-mapping.volume-type":           func(i image) []string { return one(i.VolumeType) },
	"boot-mode":                                  imageField(func(v imageView) string { return v.BootMode }),
	"creation-date":                              imageField(func(v imageView) string { return v.Created }),
	"description":                                imageField(func(v imageView) string { return v.Description }),
	"ena-support":                                func(image) []string { return yesNo(true) },
	"hypervisor":                                 imageField(func(v imageView) string { return v.Hypervisor }),
	"image-id":                                   imageField(func(v imageView) string { return v.ID }),
	"image-type":                                 imageField(func(v imageView) string { return v.Type }),
	"imds-support":                               func(i image) []string { return one(i.IMDS) },
	"is-public":                                  func(image) []string { return yesNo(true) },
	"kernel-id":                                  noImageField,
	"manifest-location":                          imageField(func(v imageView) string { return v.Location }),
	"name":                                       imageField(func(v imageView) string { return v.Name }),
	"owner-alias":                                imageField(func(v imageView) string { return v.Alias }),
	"owner-id":                                   imageField(func(v imageView) string { return v.Owner }),
	"platform":                                   noImageField,
	"product-code":                               noImageField,
	"product-code.type":                          noImageField,
	"ramdisk-id":                                 noImageField,
	"root-device-name":                           imageField(func(v imageView) string { return v.RootDevice }),
	"root-device-type":                           imageField(func(v imageView) string { return v.RootType }),
	"source-instance-id":                         noImageField,
	"state":                                      imageField(func(v imageView) string { return v.State }),
	"state-reason-code":                          noImageField,
	"state-reason-message":                       noImageField,
	"sriov-net-support":                          imageField(func(v imageView) string { return v.Sriov }),
	"virtualization-type":                        imageField(func(v imageView) string { return v.Virtual }),
}
