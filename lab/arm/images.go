package arm

import (
	"net/http"
	"slices"
	"strings"
)

// image is a system that machines can be made with. The lab's machines all run the same system, whatever the image's name.
type image struct {
	publisher, offer, sku, version, arch string
}

// imageSizeGB is how large an image's disk is at least.
const imageSizeGB = 30

// images are the catalogue's, with the names that their publishers give them.
var images = []image{
	{"Debian", "debian-12", "12", "0.20250814.2204", "amd64"},
	{"Debian", "debian-12", "12-gen2", "0.20250814.2204", "amd64"},
	{"Debian", "debian-12", "12-arm64", "0.20250814.2204", "arm64"},
	{"Debian", "debian-13", "13-gen2", "0.20251006.2257", "amd64"},
	{"Debian", "debian-13", "13-arm64", "0.20251006.2257", "arm64"},
	{"Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", "22.04.202510020", "amd64"},
	{"Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-arm64", "22.04.202510020", "arm64"},
	{"Canonical", "ubuntu-24_04-lts", "server", "24.04.202510020", "amd64"},
	{"Canonical", "ubuntu-24_04-lts", "server-gen1", "24.04.202510020", "amd64"},
	{"Canonical", "ubuntu-24_04-lts", "server-arm64", "24.04.202510020", "arm64"},
	{"Canonical", "ubuntu-24_04-lts", "minimal", "24.04.202510020", "amd64"},
}

func (s *Service) imageID(location string, i image) string {
	return s.subscriptionPath() + "/Providers/Microsoft.Compute/Locations/" + location + "/Publishers/" + i.publisher + "/ArtifactTypes/VMImage/Offers/" + i.offer + "/Skus/" + i.sku + "/Versions/" + i.version
}

// findImage finds a machine's image and completes its name.
func (s *Service) findImage(in *machine, size Size) (image, *apiError) {
	r := in.Properties.StorageProfile.ImageReference
	if r == nil {
		return image{}, invalidParameter("imageReference", "Required parameter 'imageReference' is missing (null).")
	}
	version := r.Version
	if strings.EqualFold(version, "latest") {
		version = ""
	}
	for _, i := range images {
		if !strings.EqualFold(i.publisher, r.Publisher) || !strings.EqualFold(i.offer, r.Offer) || !strings.EqualFold(i.sku, r.SKU) || version != "" && version != i.version {
			continue
		}
		if i.arch != size.Arch {
			return image{}, refuse(http.StatusBadRequest, "BadRequest", "Cannot create a VM of size '%s' because this VM size only supports a CPU Architecture of '%s', but an image or disk with CPU Architecture '%s' was given. "+
				"Please check that the CPU Architecture of the image or disk is compatible with that of the VM size.", size.Name, archName(size.Arch), archName(i.arch))
		}
		r.ExactVersion = i.version
		return i, nil
	}
	e := refuse(http.StatusNotFound, "PlatformImageNotFound", "The platform image '%s:%s:%s:%s' is not available. Verify that all fields in the storage profile are correct. "+
		"For more details about storage profile information, please refer to https://aka.ms/storageprofile", r.Publisher, r.Offer, r.SKU, r.Version)
	e.target = "imageReference"
	return image{}, e
}

func archName(arch string) string {
	if arch == "arm64" {
		return "Arm64"
	}
	return "x64"
}

// imagesBelow lists the names at one level of the tree of images, under a call's variables.
func (s *Service) imagesBelow(c *call, name func(image) string, segment string) (*answer, *apiError) {
	place, _ := s.cat.location(c.vars["location"])
	var out []any
	var seen []string
	for _, i := range images {
		fits := true
		for variable, value := range map[string]string{"publisherName": i.publisher, "offer": i.offer, "skus": i.sku} {
			if want, ok := c.vars[variable]; ok && !strings.EqualFold(want, value) {
				fits = false
			}
		}
		if n := name(i); fits && !slices.Contains(seen, n) {
			seen = append(seen, n)
			id := s.imageID(place.Name, i)
			end := strings.Index(id, "/"+segment+"/") + len("/"+segment+"/")
			out = append(out, map[string]any{"location": place.Name, "name": n, "id": id[:end] + n})
		}
	}
	if out == nil && len(c.vars) > 2 {
		return nil, refuse(http.StatusNotFound, "NotFound", "Artifact: VMImage was not found.")
	}
	a := shown(http.StatusOK, out)
	return a, nil
}

func (s *Service) listPublishers(c *call) (*answer, *apiError) {
	return s.imagesBelow(c, func(i image) string { return i.publisher }, "Publishers")
}

func (s *Service) listOffers(c *call) (*answer, *apiError) {
	return s.imagesBelow(c, func(i image) string { return i.offer }, "Offers")
}

func (s *Service) listImageSKUs(c *call) (*answer, *apiError) {
	return s.imagesBelow(c, func(i image) string { return i.sku }, "Skus")
}

func (s *Service) listImages(c *call) (*answer, *apiError) {
	return s.imagesBelow(c, func(i image) string { return i.version }, "Versions")
}

func (s *Service) getImage(c *call) (*answer, *apiError) {
	place, _ := s.cat.location(c.vars["location"])
	for _, i := range images {
		if strings.EqualFold(i.publisher, c.vars["publisherName"]) && strings.EqualFold(i.offer, c.vars["offer"]) && strings.EqualFold(i.sku, c.vars["skus"]) &&
			(c.vars["version"] == i.version || strings.EqualFold(c.vars["version"], "latest")) {
			return shown(http.StatusOK, map[string]any{
				"location": place.Name, "name": i.version, "id": s.imageID(place.Name, i),
				"properties": map[string]any{
					"hyperVGeneration": "V2", "architecture": archName(i.arch), "replicaType": "Managed", "dataDiskImages": []any{},
					"osDiskImage": map[string]any{"operatingSystem": "Linux", "sizeInGb": imageSizeGB},
				},
			}), nil
		}
	}
	return nil, refuse(http.StatusNotFound, "NotFound", "Artifact: VMImage was not found.")
}
