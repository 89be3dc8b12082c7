package cloud

import (
	"fmt"
	"slices"
)

// FieldState stands for a machine that is stopped and is to be started. It is in no spec.
const FieldState = "state"

// MutableFields are the fields of a kind that Update can change, FieldState among them for machines.
func MutableFields(kinds []KindInfo, kind Kind) []string {
	for _, k := range kinds {
		switch {
		case k.Kind != kind:
		case k.Machine:
			return append(slices.Clone(k.Mutable), FieldState)
		default:
			return k.Mutable
		}
	}
	return nil
}

// CheckFields says which field of an update isn't one of the mutable ones, if any.
func CheckFields(mutable, fields []string) error {
	for _, f := range fields {
		if !slices.Contains(mutable, f) {
			return &Error{Class: Invalid, Message: fmt.Sprintf("field %q can't be changed", f)}
		}
	}
	return nil
}
