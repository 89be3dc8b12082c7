package web

import (
	"context"
	"strings"
)

// noteRole is how a note is told to who doesn't see it.
func noteRole(t tone) string {
	if t == bad {
		return "alert"
	}
	return "note"
}

// describedBy names what belongs to a field: its hint, and what is wrong with it.
func describedBy(ctx context.Context, name, hint string) string {
	var ids []string
	if hint != "" {
		ids = append(ids, name+"-hint")
	}
	if len(callOf(ctx).input.of(name)) > 0 {
		ids = append(ids, name+"-wrong")
	}
	return strings.Join(ids, " ")
}
