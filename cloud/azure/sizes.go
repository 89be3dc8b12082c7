package azure

import (
	"regexp"
	"strings"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/sizes"
)

// machineType is the machine type behind one of Skyweld's sizes; any other name is taken for a machine type. The types of
// the sizes boot an image of the second generation with trusted launch.
func machineType(size string) string { return sizes.TypeName(string(cloud.Azure), size) }

// typePattern takes a machine type apart: its family, vCPUs, constrained vCPUs, and the letters that say what it can.
var typePattern = regexp.MustCompile(`^(?:Standard|Basic)_([A-Z]+)([0-9]+)(-[0-9]+)?([a-z]*)(?:_[A-Za-z0-9]+)*$`)

// ability says whether a letter is among those that say what a machine type can.
func ability(machineType, letter string) bool {
	m := typePattern.FindStringSubmatch(machineType)
	return m != nil && strings.Contains(m[4], letter)
}

// isARM says whether a machine type is for ARM, which its name has a p for. The image is for x86-64.
func isARM(machineType string) bool { return ability(machineType, "p") }

// diskType is the kind of disk that a machine boots from: etcd wants a fast one where there is one.
func diskType(machineType string) string {
	if ability(machineType, "s") {
		return "Premium_LRS"
	}
	return "StandardSSD_LRS"
}
