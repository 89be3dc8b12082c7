//go:build linux

package cloudinit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// wireServer is where Azure's machines find the wire server.
const wireServer = "168.63.129.16:80"

// fetchAzure speaks Azure's instance metadata service
// (https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service). Custom data isn't in it: Azure hands that
// over in a document on a disc in the machine's drive. A machine of the lab has no drive and gets the document from the
// wire server instead. Without custom data the user data counts, as cloud-init has it. A machine without key and data is
// reported ready all the same.
func fetchAzure(ctx context.Context, s *service) (metadata, error) {
	m := metadata{Source: "DataSourceAzure"}
	s.header.Set("Metadata", "true")
	text, err := s.ask(ctx, http.MethodGet, "/metadata/instance?api-version=2021-08-01&extended=true")
	if err != nil {
		return m, err
	}
	var doc struct {
		Compute struct {
			ID         string `json:"vmId"`
			UserData   string `json:"userData"`
			PublicKeys []struct {
				KeyData string `json:"keyData"`
			} `json:"publicKeys"`
			OSProfile struct {
				ComputerName string `json:"computerName"`
			} `json:"osProfile"`
		} `json:"compute"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.Compute.ID == "" {
		return m, errors.New("metadata service: /metadata/instance is no description of a virtual machine")
	}
	m.InstanceID, m.Hostname = doc.Compute.ID, doc.Compute.OSProfile.ComputerName
	for _, k := range doc.Compute.PublicKeys {
		m.Keys = appendKeys(m.Keys, k.KeyData)
	}
	data, err := s.customData(ctx)
	if err != nil {
		return m, err
	}
	if data == "" {
		data = doc.Compute.UserData
	}
	if m.UserData, err = base64.StdEncoding.DecodeString(data); err != nil {
		return m, errors.New("metadata service: the custom data is not base64")
	}
	return m, nil
}

// customData reads the provisioning document. The wire server answers at its own address, which is the metadata service's
// in tests.
func (s *service) customData(ctx context.Context) (string, error) {
	wire := s.at(wireServer)
	wire.header.Set("X-Ms-Version", "2012-11-30")
	text, err := wire.optional(ctx, "/machine/?comp=ovfenv")
	if err != nil || text == "" {
		return "", err
	}
	var doc struct {
		CustomData string `xml:"ProvisioningSection>LinuxProvisioningConfigurationSet>CustomData"`
	}
	if err := xml.Unmarshal([]byte(text), &doc); err != nil {
		return "", fmt.Errorf("wire server: the provisioning document: %w", err)
	}
	return doc.CustomData, nil
}

// at is a service at another address, unless this one isn't at its usual place.
func (s *service) at(address string) *service {
	host, _, _ := net.SplitHostPort(address)
	if s.address != metadataAddress {
		address = s.address
	}
	return newService(address, host)
}
