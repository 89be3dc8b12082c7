package sshd

import (
	"testing"
	"time"
)

func TestExpiry(t *testing.T) {
	later := time.Now().Add(3 * time.Minute).UTC()
	for option, want := range map[string]bool{
		`expiry-time="` + later.Format("200601021504") + `Z"`:                 true,
		`expiry-time="` + later.Format("20060102150405") + `Z"`:               true,
		`expiry-time="` + later.Add(48*time.Hour).Format("20060102") + `"`:    true,
		`expiry-time="` + later.Add(-time.Hour).Format("200601021504") + `Z"`: false,
		`expiry-time="tomorrow"`: false,
		`expiry-time`:            false,
		`environment="A=B"`:      false,
	} {
		if got := permissions([]string{option}) != nil; got != want {
			t.Errorf("%s lets the key in: %v, want %v", option, got, want)
		}
	}
}
