package cloud_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

func TestShowsUserData(t *testing.T) {
	data := []byte("#cloud-config\n  - short\n  privateKey: c2VjcmV0LXNlY3JldA==\n\n")
	for text, want := range map[string]bool{
		"":                                     false,
		"bad value \"short\" in #cloud-config": false,
		"bad value \"privateKey: c2VjcmV0LXNlY3JldA==\"": true,
		"bad value I2Nsb3VkLWNvbmZpZw==":                 true,
	} {
		if got := cloud.ShowsUserData(text, data, "I2Nsb3VkLWNvbmZpZw=="); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if cloud.ShowsUserData("anything", nil) {
		t.Error("no user data is shown")
	}
}

func TestHidden(t *testing.T) {
	e := cloud.Error{Class: cloud.Invalid, Op: "create", Code: "bad", Message: "secret", RetryAfter: time.Second, Err: errors.New("secret")}
	want := &cloud.Error{Class: cloud.Invalid, Code: "bad", RetryAfter: time.Second, Message: "the answer repeats the machine's user data and isn't shown"}
	if diff := cmp.Diff(want, e.Hidden()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
