package cloud

import (
	"fmt"
	"slices"
)

// Fields that are in no spec: that of a machine that is stopped and is to be started, and that of an object that lost its
// owner mark.
const (
	FieldState = "state"
	FieldMark  = "mark"
)

// MutableFields are the fields of a kind that Update can change, FieldMark among them, and FieldState for machines.
func MutableFields(kinds []KindInfo, kind Kind) []string {
	for _, k := range kinds {
		switch {
		case k.Kind != kind:
		case k.Machine:
			return append(slices.Clone(k.Mutable), FieldState, FieldMark)
		default:
			return append(slices.Clone(k.Mutable), FieldMark)
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
