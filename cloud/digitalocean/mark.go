package digitalocean

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// Owner marks. A tag is one word of letters, digits, ':', '-' and '_', and tags belong to the account: they stay when the
// last thing that had them is gone, so the driver takes away what it made. All but the first have four or five parts and
// name the cluster, as two clusters may use the same keys:
//
//	skyweld:cluster:<uid>             on every droplet: lists of a cluster's droplets go by it
//	skyweld:key:<uid>:<key>:<try>     on one droplet; the try tells the droplet of one creation from that of another
//	skyweld:role:<uid>:<key>          on a site's droplets of one role; a resource by itself, firewalls name it
//	skyweld:ip:<uid>:<key>:<droplet>  on nothing: a reserved address is about to be made under that key, on the droplet of
//	                                  the other
//	skyweld:ip:<uid>:<key>:<a-b-c-d>  on nothing: the reserved address a.b.c.d is the resource under that key
//
// VPCs have a name and a description, firewalls a name; reserved addresses have neither tags nor a name.
const (
	tagPrefix  = "skyweld:"
	tagCluster = tagPrefix + "cluster:"
	tagKey     = tagPrefix + "key:"
	tagRole    = tagPrefix + "role:"
	tagAddress = tagPrefix + "ip:"
)

func clusterTag(uid string) string { return tagCluster + uid }

func roleTag(uid, key string) string { return tagRole + uid + ":" + key }

func keyTag(uid, key, token string) string { return tagKey + uid + ":" + key + ":" + tryOf(token) }

// tryOf is a creation's token in a form that tells nobody the token.
func tryOf(token string) string {
	sum := sha256.Sum256([]byte("try " + token))
	return hex.EncodeToString(sum[:6])
}

func makingTag(uid, key, droplet string) string { return tagAddress + uid + ":" + key + ":" + droplet }

func addressTag(uid, key string, ip netip.Addr) string {
	return tagAddress + uid + ":" + key + ":" + strings.ReplaceAll(ip.String(), ".", "-")
}

// tagParts reads one of our tags: what the parts after the prefix are. ok is false for all other tags.
func tagParts(tag, prefix string) (uid, key, last string, ok bool) {
	rest, ok := strings.CutPrefix(tag, prefix)
	if !ok {
		return "", "", "", false
	}
	parts := strings.Split(rest, ":")
	if len(parts) > 3 || cloud.CheckUID(parts[0]) != nil {
		return "", "", "", false
	}
	parts = append(parts, "", "")
	return parts[0], parts[1], parts[2], true
}

// addressOf reads the address in the last part of an address' tag; it isn't valid in the tag of one that is being made.
func addressOf(last string) netip.Addr {
	if strings.Count(last, "-") != 3 {
		return netip.Addr{}
	}
	return cloud.ParseAddr(strings.ReplaceAll(last, "-", "."))
}

// dropletMark reads a droplet's mark from its tags.
func dropletMark(tags []string) (cluster, key, try string) {
	for _, t := range tags {
		if uid, _, _, ok := tagParts(t, tagCluster); ok && cluster == "" {
			cluster = uid
		}
	}
	for _, t := range tags {
		if uid, k, last, ok := tagParts(t, tagKey); ok && uid == cluster && key == "" {
			key, try = k, last
		}
	}
	return cluster, key, try
}

// keyInName is the key in a resource's deterministic name, if that is a name of the cluster.
func keyInName(uid, name string) (string, bool) {
	prefix := cloud.Owner{UID: uid}.ResourceName("")
	key, ok := strings.CutPrefix(name, prefix)
	return key, ok && cloud.CheckKey(key) == nil
}
