package teardown

import "testing"

// Scene is what stands at a lab before a row is tried there.
type Scene struct {
	// Try is the row's call, to its end: it is refused with the row's code or, where the row has none, succeeds.
	Try func() error
	// Clear takes away what is in the way, or makes what is needed; nil where nobody can.
	Clear func() error
	// Then succeeds after Clear; nil for Try.
	Then func() error
	// Other looks for the other thing of a row without a code: its error says that the thing isn't there.
	Other func() error
}

// Play tries a row in its scene. The last argument says an error's code as the page writes it.
func (s Scene) Play(t *testing.T, row Row, code func(error) string) {
	t.Helper()
	if !row.Refused() {
		succeed(t, "find the "+row.Other+" before", s.Other)
		succeed(t, row.Call, s.Try)
		if err := s.Other(); (err == nil) != (row.Code == Stays) {
			t.Errorf("the %s afterwards: error %v, and the row says that it %s", row.Other, err, row.Code)
		}
		return
	}
	if err := s.Try(); err == nil || code(err) != row.Code {
		t.Fatalf("%s: error %v, want the code %s", row.Call, err, row.Code)
	}
	if s.Clear == nil && s.Then == nil {
		return
	}
	if s.Clear != nil {
		succeed(t, "make way", s.Clear)
	}
	if s.Then == nil {
		s.Then = s.Try
	}
	succeed(t, row.Call+" after that", s.Then)
}

func succeed(t *testing.T, what string, f func() error) {
	t.Helper()
	if err := f(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
