package query

import "strings"

// Wildcard matches a value with a pattern in which * stands for any text, ? for one character, and a backslash takes
// the next character for itself. It runs in linear space and at most |pattern|·|value| steps.
func Wildcard(pattern, value string) bool {
	p, v := 0, 0
	star, mark := -1, 0
	for v < len(value) {
		literal := p < len(pattern)-1 && pattern[p] == '\\'
		switch {
		case literal && pattern[p+1] == value[v]:
			p, v = p+2, v+1
		case !literal && p < len(pattern) && pattern[p] == '*':
			star, mark = p, v
			p++
		case !literal && p < len(pattern) && (pattern[p] == '?' || pattern[p] == value[v]):
			p, v = p+1, v+1
		case star >= 0:
			mark++
			p, v = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
