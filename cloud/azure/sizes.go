package azure

import (
	"regexp"
	"strings"
)

// sizes are the machine types behind Skyweld's own sizes. Other names are taken for machine types. All three are sold in
// each of the 57 locations of the price list of 2026-06-18 and boot an image of the second generation with trusted launch.
var sizes = map[string]string{
	"small":  "Standard_B2s",    // 2 burstable vCPU, 4 GiB
	"medium": "Standard_D4s_v5", // 4 vCPU, 16 GiB
	"large":  "Standard_D8s_v5", // 8 vCPU, 32 GiB
}

func machineType(size string) string {
	if t, ok := sizes[size]; ok {
		return t
	}
	return size
}

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
