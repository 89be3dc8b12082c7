package query

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What AWS Signature Version 4 fixes: how far a request's clock may be off, how long a presigned one lives at most, and
// how times and the algorithm are written.
const (
	MaxSkew      = 5 * time.Minute
	maxPresigned = 7 * 24 * time.Hour
	DateFormat   = "20060102T150405Z"
	algorithm    = "AWS4-HMAC-SHA256"
)

// Scope is what a signature says about itself before it is checked.
type Scope struct {
	Region, Service string
	Date            time.Time

	keyID, day, signature, token string
	headers                      []string
	expires                      time.Duration // of a presigned request, else 0
}

// Problem is why a request's signature wasn't accepted; each service words it in its own way.
type Problem int

// The problems a signature may have; OK is none.
const (
	OK Problem = iota
	NoSignature
	Incomplete
	UnknownKey
	ForeignToken
	Expired
	Mismatch
)

// ReadScope reads the signature's parts from the Authorization header or the query of a presigned request.
func ReadScope(r *http.Request) (Scope, Problem) {
	var s Scope
	var credential, headers, date string
	if auth := r.Header.Get("Authorization"); auth != "" {
		rest, ok := strings.CutPrefix(auth, algorithm)
		if !ok {
			return s, Incomplete
		}
		for part := range strings.SplitSeq(rest, ",") {
			k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch k {
			case "Credential":
				credential = v
			case "SignedHeaders":
				headers = v
			case "Signature":
				s.signature = v
			}
		}
		date, s.token = r.Header.Get("X-Amz-Date"), r.Header.Get("X-Amz-Security-Token")
		if date == "" {
			if t, err := http.ParseTime(r.Header.Get("Date")); err == nil {
				date = t.UTC().Format(DateFormat)
			}
		}
	} else {
		q := r.URL.Query()
		if q.Get("X-Amz-Algorithm") == "" {
			return s, NoSignature
		}
		seconds, err := strconv.Atoi(q.Get("X-Amz-Expires"))
		if q.Get("X-Amz-Algorithm") != algorithm || err != nil || seconds < 1 || time.Duration(seconds)*time.Second > maxPresigned {
			return s, Incomplete
		}
		s.expires = time.Duration(seconds) * time.Second
		credential, headers, date = q.Get("X-Amz-Credential"), q.Get("X-Amz-SignedHeaders"), q.Get("X-Amz-Date")
		s.signature, s.token = q.Get("X-Amz-Signature"), q.Get("X-Amz-Security-Token")
	}
	parts := strings.Split(credential, "/")
	t, err := time.Parse(DateFormat, date)
	if len(parts) != 5 || parts[4] != "aws4_request" || headers == "" || s.signature == "" || err != nil {
		return s, Incomplete
	}
	s.keyID, s.day, s.Region, s.Service, s.Date = parts[0], parts[1], parts[2], parts[3], t
	s.headers = strings.Split(headers, ";")
	if s.day != date[:8] || !slices.Contains(s.headers, "host") {
		return s, Incomplete
	}
	return s, OK
}

// Verify checks a request's signature against the one pair of keys there is.
func (s Scope) Verify(r *http.Request, body []byte, keyID, secret string, now time.Time) Problem {
	switch {
	case s.keyID != keyID:
		return UnknownKey
	case s.token != "":
		return ForeignToken // a long-lived key has no session
	case s.expires == 0 && now.Sub(s.Date).Abs() > MaxSkew:
		return Expired
	case s.expires != 0 && (now.Sub(s.Date) > s.expires || s.Date.Sub(now) > MaxSkew):
		return Expired
	}
	request := canonicalRequest(r, s, body)
	sum := sha256.Sum256([]byte(request))
	toSign := strings.Join([]string{algorithm, s.Date.Format(DateFormat),
		strings.Join([]string{s.day, s.Region, s.Service, "aws4_request"}, "/"), hex.EncodeToString(sum[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.day, s.Region, s.Service, "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(key)), []byte(s.signature)) != 1 {
		return Mismatch
	}
	return OK
}

// canonicalRequest builds the text whose digest is signed.
func canonicalRequest(r *http.Request, s Scope, body []byte) string {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	var b strings.Builder
	b.WriteString(r.Method + "\n" + path + "\n" + canonicalQuery(r.URL.Query()) + "\n")
	for _, name := range s.headers {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(s.headers, ";") + "\n" + hash)
	return b.String()
}

// headerValue is a signed header's value as the signer saw it: Go's server keeps two of them outside the header map.
func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	var values []string
	for _, v := range r.Header.Values(name) {
		values = append(values, strings.Join(strings.Fields(v), " "))
	}
	return strings.Join(values, ",")
}

func canonicalQuery(q url.Values) string {
	var pairs [][2]string
	for k, vs := range q {
		if k == "X-Amz-Signature" {
			continue
		}
		for _, v := range vs {
			pairs = append(pairs, [2]string{awsEscape(k), awsEscape(v)})
		}
	}
	// By name first: "Value.1" comes before "Value.10", though '0' sorts before '='.
	slices.SortFunc(pairs, func(a, b [2]string) int {
		return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String()
}

// awsEscape escapes everything but RFC 3986's unreserved characters.
func awsEscape(s string) string {
	return strings.NewReplacer("+", "%20", "%7E", "~").Replace(url.QueryEscape(s))
}
