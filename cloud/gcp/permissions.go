package gcp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/api/cloudresourcemanager/v1"
	"google.golang.org/api/googleapi"

	"github.com/skyweld/skyweld/cloud"
)

// permissions are all that the driver's calls need, each with the kinds whose creation needs it. They are those of
// docs/accounts/gcp-role.yaml; a test holds the two, and the driver's source, against each other.
var permissions = map[string][]cloud.Kind{
	"compute.networks.create":                      {kindNetwork},
	"compute.networks.get":                         {kindNetwork},
	"compute.networks.list":                        nil,
	"compute.networks.update":                      nil,
	"compute.networks.updatePolicy":                {kindSubnetwork, kindFirewall},
	"compute.networks.delete":                      nil,
	"compute.subnetworks.create":                   {kindSubnetwork},
	"compute.subnetworks.get":                      {kindSubnetwork},
	"compute.subnetworks.list":                     nil,
	"compute.subnetworks.update":                   nil,
	"compute.subnetworks.setPrivateIpGoogleAccess": nil,
	"compute.subnetworks.use":                      {kindInstance},
	"compute.subnetworks.useExternalIp":            {kindInstance},
	"compute.subnetworks.delete":                   nil,
	"compute.firewalls.create":                     {kindFirewall},
	"compute.firewalls.get":                        {kindFirewall},
	"compute.firewalls.list":                       nil,
	"compute.firewalls.update":                     nil,
	"compute.firewalls.delete":                     nil,
	"compute.routes.create":                        nil,
	"compute.routes.delete":                        nil,
	"compute.routes.list":                          {kindNetwork},
	"compute.addresses.create":                     {kindAddress},
	"compute.addresses.get":                        {kindAddress},
	"compute.addresses.list":                       nil,
	"compute.addresses.use":                        nil,
	"compute.addresses.delete":                     nil,
	"compute.disks.create":                         {kindInstance},
	"compute.disks.get":                            nil,
	"compute.disks.list":                           nil,
	"compute.disks.setLabels":                      {kindInstance},
	"compute.disks.delete":                         nil,
	"compute.instances.create":                     {kindInstance},
	"compute.instances.get":                        {kindInstance},
	"compute.instances.list":                       nil,
	"compute.instances.setLabels":                  {kindInstance},
	"compute.instances.setMetadata":                {kindInstance},
	"compute.instances.setTags":                    {kindInstance},
	"compute.instances.setScheduling":              nil,
	"compute.instances.setDeletionProtection":      nil,
	"compute.instances.setDiskAutoDelete":          nil,
	"compute.instances.addAccessConfig":            nil,
	"compute.instances.deleteAccessConfig":         nil,
	"compute.instances.getSerialPortOutput":        nil,
	"compute.instances.start":                      nil,
	"compute.instances.update":                     nil,
	"compute.instances.resume":                     nil,
	"compute.instances.delete":                     nil,
	"compute.machineTypes.get":                     nil,
	"compute.machineTypes.list":                    nil,
	"compute.projects.get":                         nil,
	"compute.regions.get":                          nil,
	"compute.regions.list":                         nil,
	"compute.globalOperations.get":                 {kindNetwork, kindFirewall},
	"compute.regionOperations.get":                 {kindSubnetwork, kindAddress},
	"compute.zoneOperations.get":                   {kindInstance},
}

// errNotAsked is why permissions could not be looked up all at once. Nothing follows from it for any of them.
var errNotAsked = errors.New("the Cloud Resource Manager API can't be asked")

// lacking asks Cloud Resource Manager which of some permissions we lack in the project. Everybody may ask that of
// themselves where that API is switched on in the project.
func (d *Driver) lacking(ctx context.Context, wanted []string) ([]string, error) {
	out, err := d.manager.Projects.TestIamPermissions(d.project, &cloudresourcemanager.TestIamPermissionsRequest{Permissions: wanted}).Context(ctx).Do()
	if e, ok := errors.AsType[*googleapi.Error](err); ok && (e.Code == http.StatusForbidden || e.Code == http.StatusNotFound || e.Code == http.StatusBadRequest) {
		return nil, errNotAsked
	}
	if err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(slices.Clone(wanted), func(p string) bool { return slices.Contains(out.Permissions, p) })
	slices.Sort(missing)
	return missing, nil
}

// managerEndpoint is the URL of Cloud Resource Manager: the setting's, else that of a cloud of its own which is at one
// place with the given Compute Engine, else the official one.
func managerEndpoint(setting, computeSetting, universe string) string {
	if setting != "" {
		return strings.TrimSuffix(setting, "/") + "/"
	}
	if base, _, ok := strings.Cut(computeSetting, "/compute/"); ok {
		return base + "/"
	}
	if universe == "" {
		universe = "googleapis.com"
	}
	return "https://cloudresourcemanager." + universe + "/"
}
