package spec

import "strings"

// examples are values of fields as they stand in a file, on one line.
var examples = map[string]string{
	"apiVersion":                     APIVersion,
	"kind":                           Kind,
	"metadata.name":                  "demo",
	"spec.kubernetesVersion":         Versions[0],
	"spec.metro":                     "us-east",
	"spec.network.mode":              Modes[0],
	"spec.network.maxRTT":            "10ms",
	"spec.network.onLatency":         "continue",
	"spec.network.pods":              "10.216.0.0/14",
	"spec.network.services":          "10.96.0.0/16",
	"spec.sites":                     "[{name: aws, account: my-aws}, {name: gcp, account: my-gcp}]",
	"spec.sites[].name":              "aws",
	"spec.sites[].account":           "my-aws",
	"spec.sites[].region":            "us-east-1",
	"spec.sites[].block":             "10.64.0.0/16",
	"spec.access.api":                "[203.0.113.0/24, 198.51.100.7/32]",
	"spec.access.api[]":              "203.0.113.0/24",
	"spec.access.ssh":                "[198.51.100.7/32]",
	"spec.access.ssh[]":              "198.51.100.7/32",
	"spec.controlPlane.replicas":     "3",
	"spec.controlPlane.size":         "medium",
	"spec.controlPlane.sites":        "[aws, gcp]",
	"spec.controlPlane.sites[]":      "aws",
	"spec.workers":                   "[{name: web, site: aws, size: small, count: 2}]",
	"spec.workers[].name":            "web",
	"spec.workers[].site":            "aws",
	"spec.workers[].size":            "small",
	"spec.workers[].count":           "2",
	"spec.workers[].labels":          "{team: data, example.com/tier: batch}",
	"spec.workers[].labels{}":        "data",
	"spec.workers[].taints":          "[{key: dedicated, value: data, effect: NoSchedule}]",
	"spec.workers[].taints[].key":    "dedicated",
	"spec.workers[].taints[].value":  "data",
	"spec.workers[].taints[].effect": "NoSchedule",
	"spec.workers[].exclude":         "[3]",
	"spec.workers[].exclude[]":       "3",
	"spec.repair.failedMachines":     "replace",
	"spec.repair.notReadyWorkers":    "keep",
	"spec.repair.notReadyAfter":      "15m",
	"spec.measure.for":               "1m",
}

// Nearest returns the path of the field that one which doesn't exist most likely means, empty for none. What stands before
// the last dot counts as much as what stands after it, unless only the latter is near to something.
func Nearest(path string) string {
	want := bare(path)
	var paths, lasts []string
	for _, f := range fields {
		paths, lasts = append(paths, bare(f.Path)), append(lasts, last(f.Path))
	}
	if at := nearest(want, paths); at != "" {
		return at
	}
	if at := nearest(last(want), lasts); at != "" {
		for i, l := range lasts {
			if l == at {
				return paths[i]
			}
		}
	}
	return ""
}

func last(path string) string {
	path = bare(path)
	return path[strings.LastIndexByte(path, '.')+1:]
}
