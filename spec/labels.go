package spec

import (
	"regexp"
	"strings"
)

// The rules for labels and taints are those of Kubernetes' documentation, "Labels and Selectors: Syntax and character
// set". Keys that belong to Kubernetes itself are refused: a kubelet may not set them.
const (
	labelValueAllowed = "up to 63 of A-Z, a-z, 0-9, '-', '_' and '.', beginning and ending with a letter or digit"
	labelKeyAllowed   = "a label key: up to 63 of A-Z, a-z, 0-9, '-', '_' and '.', beginning and ending with a letter or digit, with an optional domain and '/' before it"
)

var (
	labelWord = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)
	domain    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

func labelValue(s string) (bool, string) { return s == "" || labelWord.MatchString(s), "" }

func labelKey(s string) (bool, string) {
	prefix, word, found := strings.Cut(s, "/")
	if !found {
		prefix, word = "", s
	}
	if !labelWord.MatchString(word) || found && (len(prefix) > 253 || !domain.MatchString(prefix)) {
		return false, ""
	}
	for _, theirs := range []string{"kubernetes.io", "k8s.io", "skyweld.dev"} {
		if prefix == theirs || strings.HasSuffix(prefix, "."+theirs) {
			return false, "keys of " + theirs + " are set by Kubernetes and the engine"
		}
	}
	return true, ""
}
