package cloud_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud"
)

// TestCutKey holds that keys stay short, valid and as different as they were.
func TestCutKey(t *testing.T) {
	if got := cloud.CutKey("site-vpc", cloud.MaxKey); got != "site-vpc" {
		t.Errorf("a short key became %s", got)
	}
	long := strings.Repeat("a", cloud.MaxKey)
	if a, b := cloud.CutKey(long+"a", cloud.MaxKey), cloud.CutKey(long+"b", cloud.MaxKey); a == b {
		t.Errorf("two keys became %s", a)
	}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[a-z][a-z0-9-]{0,100}[a-z0-9]`).Draw(t, "key")
		limit := rapid.IntRange(20, cloud.MaxKey).Draw(t, "limit")
		got := cloud.CutKey(key, limit)
		if err := cloud.CheckKey(got); err != nil || len(got) > limit || len(key) <= limit && got != key {
			t.Fatalf("%s (%d bytes, limit %d): %v", got, len(got), limit, err)
		}
	})
}

func TestCheckMarkAndToken(t *testing.T) {
	owner, token := cloud.Owner{UID: "0123456789abcdef"}, strings.Repeat("0f", 16)
	if err := cloud.CheckMark(owner, cloud.Resource{Key: "site-vpc"}); err != nil {
		t.Error(err)
	}
	if err := cloud.CheckToken(token); err != nil {
		t.Error(err)
	}
	for want, err := range map[string]error{
		"cluster uid":           cloud.CheckMark(cloud.Owner{UID: "demo"}, cloud.Resource{Key: "site-vpc"}),
		"key":                   cloud.CheckMark(owner, cloud.Resource{Key: "Site"}),
		"32 hexadecimal digits": cloud.CheckToken(token[1:]),
	} {
		if cloud.ClassOf(err) != cloud.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an invalid %s", err, want)
		}
	}
}
