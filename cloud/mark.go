package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// The names of the tags or labels that form the owner mark. They fit the rules of all clouds for such names.
const (
	TagCluster = "skyweld-cluster" // value: the cluster's UID
	TagKey     = "skyweld-key"     // value: the resource's key
)

// MaxKey is the length of the longest key in bytes: with the prefix of ResourceName it fits Google's 63.
const MaxKey = 50

var (
	keyPattern   = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	uidPattern   = regexp.MustCompile(`^[0-9a-f]{16}$`)
	tokenPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)
	markLine     = regexp.MustCompile(`\bskyweld-cluster=([0-9a-f]{16}) skyweld-key=([a-z0-9-]+)\b`)
)

// CheckKey says what is wrong with a key, if anything.
func CheckKey(key string) error {
	if len(key) > MaxKey || !keyPattern.MatchString(key) {
		return fmt.Errorf("key %q: want 1 to %d of a-z, 0-9 and '-', beginning with a letter and not ending with '-'", key, MaxKey)
	}
	return nil
}

// CutKey shortens a key that is too long, keeping it unique by a digest of the whole.
func CutKey(key string, limit int) string {
	if len(key) <= limit {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return key[:limit-9] + "-" + hex.EncodeToString(sum[:4])
}

// CheckUID says what is wrong with a cluster's UID, if anything.
func CheckUID(uid string) error {
	if !uidPattern.MatchString(uid) {
		return fmt.Errorf("cluster uid %q: want 16 of 0-9 a-f", uid)
	}
	return nil
}

// CheckMark says what is wrong with the mark of a resource that is to be made or changed, if anything.
func CheckMark(o Owner, r Resource) error {
	err := CheckUID(o.UID)
	if err == nil {
		err = CheckKey(r.Key)
	}
	if err != nil {
		return &Error{Class: Invalid, Message: err.Error()}
	}
	return nil
}

// CheckToken says what is wrong with the token of a creation, if anything.
func CheckToken(token string) error {
	if !tokenPattern.MatchString(token) {
		return &Error{Class: Invalid, Message: "a creation needs a token of 32 hexadecimal digits"}
	}
	return nil
}

// ResourceName is the deterministic name of a resource, "sw-<first 8 of the uid>-<key>", for clouds that know things by name.
func (o Owner) ResourceName(key string) string { return "sw-" + o.UID[:min(8, len(o.UID))] + "-" + key }

// Description is the owner mark as text, for resources that have a description and no labels.
func (o Owner) Description(key string) string {
	return fmt.Sprintf("Made by Skyweld for cluster %s. %s=%s %s=%s", strings.Map(printable, o.Name), TagCluster, o.UID, TagKey, key)
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}

// ParseDescription reads the mark back from a description; ok is false where there is none.
func ParseDescription(s string) (cluster, key string, ok bool) {
	m := markLine.FindStringSubmatch(s)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}
