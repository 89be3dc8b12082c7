package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// size is one of Skyweld's sizes.
type size struct {
	name             string
	vcpus, memoryMiB int
	// shared says that it may be of a type with shared processors.
	shared bool
}

var wanted = []size{{"small", 2, 4096, true}, {"medium", 4, 16384, false}, {"large", 8, 32768, false}}

// families are a cloud's current general-purpose families, as its own documentation groups them: those whose processors are
// shared, and those whose are a machine's own all the time. What the parentheses find is the generation. Variants with disks
// of their own, more network, encrypted memory or processors that are slowed down for a while are none of them.
type families struct{ shared, steady *regexp.Regexp }

var current = map[string]families{
	"aws":          {regexp.MustCompile(`^t(3)a?\.`), regexp.MustCompile(`^m([5-8])[ai]?\.`)},
	"azure":        {regexp.MustCompile(`^Standard_B[0-9]+a?l?s_v(2)$`), regexp.MustCompile(`^Standard_D[0-9]+a?l?s_v([5-7])$`)},
	"digitalocean": {regexp.MustCompile(`^s-[0-9]+vcpu-[0-9]+gb(?:-amd|-intel)?$`), regexp.MustCompile(`^g(?:([0-9])_[0-9])?-[0-9]+vcpu-[0-9]+gb(?:-intel)?$`)},
	"gcp":          {regexp.MustCompile(`^e(2)-(?:micro|small|medium)$`), regexp.MustCompile(`^[cent]([2-4])d?-standard-[0-9]+$`)},
}

// generation finds a type in a family; ok is false when it is none of it.
func generation(family *regexp.Regexp, name string) (n int, ok bool) {
	m := family.FindStringSubmatch(name)
	if m == nil {
		return 0, false
	}
	if len(m) > 1 {
		n, _ = strconv.Atoi(m[1]) // a digit, or nothing
	}
	return n, true
}

// chosen is the type of a size at a cloud.
type chosen struct {
	machineType
	shared     bool
	generation int
}

// choose picks a cloud's type for a size, by the rule in sizes.go.
func choose(types []machineType, cloud string, s size) (chosen, error) {
	var fit []chosen
	for _, t := range types {
		if t.cloud != cloud || t.vcpus != s.vcpus || t.memoryMiB != s.memoryMiB || t.arch != "amd64" || t.gpus > 0 || t.usd == 0 || 10*t.regions < 9*t.of {
			continue
		}
		if n, ok := generation(current[cloud].steady, t.name); ok {
			fit = append(fit, chosen{t, false, n})
		} else if n, ok := generation(current[cloud].shared, t.name); ok && s.shared {
			fit = append(fit, chosen{t, true, n})
		}
	}
	if len(fit) == 0 {
		return chosen{}, fmt.Errorf("%s has no type for %s: %d vCPUs, %d MiB", cloud, s.name, s.vcpus, s.memoryMiB)
	}
	return slices.MinFunc(fit, func(a, b chosen) int {
		return cmp.Or(cmp.Compare(a.usd, b.usd), cmp.Compare(b.generation, a.generation), strings.Compare(a.name, b.name))
	}), nil
}

// sizesTable is the table of the sizes.
func sizesTable(types []machineType) (string, error) {
	var failed error
	text := written(sizesHeader, []string{"size", "cloud", "type", "vcpu", "memory_mib", "arch", "processors", "region", "usd_per_hour"}, func(add func(...string)) {
		for _, s := range wanted {
			for _, src := range sources {
				c, err := choose(types, src.cloud, s)
				if err != nil {
					failed = err
					return
				}
				processors := map[bool]string{true: "shared", false: "steady"}[c.shared]
				add(s.name, c.cloud, c.name, strconv.Itoa(c.vcpus), strconv.Itoa(c.memoryMiB), c.arch, processors, src.region, dollars(c.usd))
			}
		}
	})
	return text, failed
}
