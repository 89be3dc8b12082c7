package ec2

import (
	"net/netip"
	"slices"
	"time"
)

// describe is embedded in the input of most Describe actions.
type describe struct {
	paging
	Filters []filter `q:"Filter"`
}

// search finds resources by ids and filters, in the order of their ids. An id that doesn't exist is an error.
type search[T any] struct {
	kind    kind
	all     map[string]T
	ids     []string
	filters []filter
	by      fields[T]
	tags    func(T) tags
}

func (q search[T]) run() ([]T, error) {
	match, err := matcher(q.filters, q.by, q.tags)
	if err != nil {
		return nil, err
	}
	var unknown []string
	for _, id := range q.ids {
		if _, ok := q.all[id]; !ok {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) > 0 {
		return nil, q.kind.missing(unknown...)
	}
	var list []T
	for _, id := range sortedKeys(q.all) {
		if (len(q.ids) == 0 || slices.Contains(q.ids, id)) && match(q.all[id]) {
			list = append(list, q.all[id])
		}
	}
	return list, nil
}

// page runs the query and returns a page of it, and the next page's token.
func (q search[T]) page(p paging, key func(T) string) ([]T, string, error) {
	list, err := q.run()
	if err != nil {
		return nil, "", err
	}
	return cut(p, list, key, 5, 1000)
}

// views turns records into what an answer shows of them.
func views[T, V any](list []T, view func(T) V) set[V] {
	out := make([]V, 0, len(list))
	for _, v := range list {
		out = append(out, view(v))
	}
	return setOf(out)
}

// parseCIDR reads an IPv4 range and, as EC2 does, clears its host bits.
func parseCIDR(text, parameter string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return p, invalidValue(text, parameter, "This is not a valid CIDR block.")
	}
	return p.Masked(), nil
}

func mustPrefix(text string) netip.Prefix {
	p, _ := netip.ParsePrefix(text) // records hold only what was parsed before
	return p
}

// lastAddr is the last address of an IPv4 range.
func lastAddr(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(a)
}

// addrAt is the n-th address of a range, counted from its base.
func addrAt(p netip.Prefix, n int) netip.Addr {
	a := p.Masked().Addr().As4()
	v := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	v += uint32(n)
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// stamp is how EC2 writes times.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// text is an address as text, empty when there is none.
func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
