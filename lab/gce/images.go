package gce

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/api/compute/v1"
)

// publicProjects are Google's projects of public images that clients look into; most have nothing in the lab.
var publicProjects = []string{
	"centos-cloud", "cos-cloud", "debian-cloud", "fedora-cloud", "fedora-coreos-cloud", "oracle-linux-cloud", "opensuse-cloud", "rhel-cloud",
	"rhel-sap-cloud", "rocky-linux-cloud", "rocky-linux-accelerator-cloud", "suse-cloud", "suse-sap-cloud", "ubuntu-os-cloud", "ubuntu-os-accelerator-images",
	"ubuntu-os-pro-cloud", "windows-cloud", "windows-sql-cloud", "deeplearning-platform-release", "ml-images",
}

// publicImage is an image that machines can be made from. In the lab all give the same machine.
type publicImage struct {
	project, family, name, arch, about, license string
	sizeGB                                      int64
}

var publicImages = []publicImage{
	{"debian-cloud", "debian-12", "debian-12-bookworm-v20260810", "X86_64", "Debian, Debian GNU/Linux, 12 (bookworm), amd64", "debian-12-bookworm", 10},
	{"debian-cloud", "debian-12-arm64", "debian-12-bookworm-arm64-v20260810", "ARM64", "Debian, Debian GNU/Linux, 12 (bookworm), arm64", "debian-12-bookworm", 10},
	{"debian-cloud", "debian-13", "debian-13-trixie-v20260810", "X86_64", "Debian, Debian GNU/Linux, 13 (trixie), amd64", "debian-13-trixie", 10},
	{"debian-cloud", "debian-13-arm64", "debian-13-trixie-arm64-v20260810", "ARM64", "Debian, Debian GNU/Linux, 13 (trixie), arm64", "debian-13-trixie", 10},
	{"ubuntu-os-cloud", "ubuntu-2404-lts-amd64", "ubuntu-2404-noble-amd64-v20260805", "X86_64", "Canonical, Ubuntu, 24.04 LTS Noble, amd64", "ubuntu-2404-lts", 10},
	{"ubuntu-os-cloud", "ubuntu-2404-lts-arm64", "ubuntu-2404-noble-arm64-v20260805", "ARM64", "Canonical, Ubuntu, 24.04 LTS Noble, arm64", "ubuntu-2404-lts", 10},
	{"ubuntu-os-cloud", "ubuntu-2204-lts", "ubuntu-2204-jammy-v20260805", "X86_64", "Canonical, Ubuntu, 22.04 LTS Jammy, amd64", "ubuntu-2204-lts", 10},
	{"ubuntu-os-cloud", "ubuntu-2204-lts-arm64", "ubuntu-2204-jammy-arm64-v20260805", "ARM64", "Canonical, Ubuntu, 22.04 LTS Jammy, arm64", "ubuntu-2204-lts", 10},
}

func (p publicImage) item() *compute.Image {
	root := "projects/" + p.project + "/global/"
	return &compute.Image{
		Kind: "compute#image", Id: fixedID(p.name) + 5e18, Name: p.name, Family: p.family, Description: p.about, Architecture: p.arch,
		CreationTimestamp: "2026-08-10T08:00:00.000-07:00", SelfLink: root + "images/" + p.name, SourceType: "RAW", Status: "READY",
		RawDisk: &compute.ImageRawDisk{ContainerType: "TAR", ForceSendFields: []string{"Source"}}, DiskSizeGb: p.sizeGB, ArchiveSizeBytes: 1 << 30,
		Licenses: []string{root + "licenses/" + p.license}, StorageLocations: []string{"asia", "eu", "us"},
		LabelFingerprint: emptyFingerprint,
		GuestOsFeatures:  []*compute.GuestOsFeature{{Type: "UEFI_COMPATIBLE"}, {Type: "VIRTIO_SCSI_MULTIQUEUE"}, {Type: "GVNIC"}},
	}
}

func imageItems(project, _ string) []any {
	var out []any
	for _, p := range publicImages {
		if p.project == project {
			out = append(out, p.item())
		}
	}
	slices.SortFunc(out, func(a, b any) int { return strings.Compare(a.(*compute.Image).Name, b.(*compute.Image).Name) })
	return out
}

func (s *Service) getFromFamily(c *call) (any, *apiError) {
	for _, p := range publicImages {
		if p.project == c.project && p.family == c.name {
			return p.item(), nil
		}
	}
	return nil, notFound("projects/" + c.project + "/global/images/family/" + c.name)
}

// familyView is the newest image of a family as a zone sees it; "-" stands for any zone.
func (s *Service) familyView(c *call) (any, *apiError) {
	item, err := s.getFromFamily(c)
	if err != nil {
		return nil, notFound(c.path)
	}
	return &compute.ImageFamilyView{Image: item.(*compute.Image)}, nil
}

// image finds an image by a reference to it or to its family.
func (s *Service) image(field, value string) (*compute.Image, *apiError) {
	r, ok := s.parseRef(value)
	if ok && r.plural == "imageFamilyViews" { // what gcloud refers to, of any zone
		r.scope, r.plural = "global", "images/family"
	}
	if !ok || r.plural != "images" && r.plural != "images/family" {
		return nil, invalidField(field, value, "The URL is malformed.")
	}
	for _, p := range publicImages {
		if p.project == r.project && (r.plural == "images" && p.name == r.name || r.plural == "images/family" && p.family == r.name) {
			return p.item(), nil
		}
	}
	return nil, notFound(fmt.Sprintf("projects/%s/global/%s/%s", r.project, r.plural, r.name))
}
