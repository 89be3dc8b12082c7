package query

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type pair struct {
	Key   string  `q:"Key,required"`
	Value *string `q:"Value"`
}

type sample struct {
	paged
	Names  []string `q:"Name"`
	Count  *int     `q:"Count,required"`
	On     bool     `q:"On"`
	Nested struct {
		Pairs []pair `q:"Pair"`
	} `q:"Nested"`
	_ string `q:"Secret Other,unsupported"`
}

type paged struct {
	Max int `q:"Max"`
}

func TestDecode(t *testing.T) {
	none := func(string) bool { return false }
	x := "x"
	for _, c := range []struct {
		form, code string
		want       sample
	}{
		{form: "Count=1&Name.2=b&Name.10=c&Name.1=a&On=true&Max=7&Nested.Pair.1.Key=k&Nested.Pair.1.Value=x",
			want: sample{paged{7}, []string{"a", "b", "c"}, new(int), true, struct {
				Pairs []pair `q:"Pair"`
			}{[]pair{{"k", &x}}}, ""}},
		{form: "Count=1&Name=", want: sample{Names: []string{}, Count: new(int)}},
		{form: "", code: "MissingParameter"},
		{form: "Count=1&Nested.Pair.1.Value=x", code: "MissingParameter"},
		{form: "Count=1&Nested.Pair.1.Key=", code: "MissingParameter"},
		{form: "Count=1&Secret.1.Key=a", code: "UnsupportedOperation"},
		{form: "Count=1&Colour=a", code: "UnknownParameter"},
		{form: "Count=1&Name.x=a", code: "UnknownParameter"},
		{form: "Count=1&Name.01=a", code: "UnknownParameter"},
		{form: "Count=1&Name=a", code: "UnknownParameter"},
		{form: "Count=1&Name.1.2=a", code: "UnknownParameter"},
		{form: "Count=1&Count.1=a", code: "UnknownParameter"},
		{form: "Count=1&.=a", code: "UnknownParameter"},
		{form: "Count=one", code: "InvalidParameterValue"},
		{form: "Count=99999999999", code: "InvalidParameterValue"},
		{form: "Count=1&On=yes", code: "InvalidParameterValue"},
		{form: "Count=1&Count=2", code: "InvalidParameterValue"},
	} {
		if c.want.Count != nil {
			*c.want.Count = 1
		}
		values, err := url.ParseQuery(c.form)
		if err != nil {
			t.Fatal(err)
		}
		var got sample
		tree, err := ParseForm(values, none)
		if err == nil {
			err = Decode(tree, &got)
		}
		var e *Error
		if errors.As(err, &e); c.code != "" && (e == nil || e.Code != c.code) || c.code == "" && err != nil {
			t.Errorf("%s: got %v, want %q", c.form, err, c.code)
		} else if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(sample{}, paged{})); c.code == "" && diff != "" {
			t.Errorf("%s: %s", c.form, diff)
		}
	}
}

func TestWildcard(t *testing.T) {
	for _, c := range []struct {
		pattern, value string
		want           bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"a*c", "abbc", true}, {"a*c", "abcd", false},
		{"?", "", false}, {"a?c", "abc", true}, {`a\*c`, "a*c", true}, {`a\*c`, "abc", false}, {`a\?c`, "abc", false}, {`\\`, `\`, true},
		{"*a*b*c*", "xxaxxbxxc", true}, {"*a*b*c*", "xxaxxcxxb", false}, {"abc", "ABC", false}, {`abc\`, `abc\`, true},
	} {
		if got := Wildcard(c.pattern, c.value); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.value, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("Filter.1.Name=vpc-id&Filter.1.Value.1=x&MaxResults=5")
	f.Add("NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SecurityGroupId.2=sg&TagSpecification.1.Tag.1.Key=k&MinCount=1&MaxCount=1")
	f.Add("BlockDeviceMapping.1.Ebs.VolumeSize=8&BlockDeviceMapping.1=&UserData=I2Nsb3Vk&MinCount=&.=1&a..b=2")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		for _, into := range []any{&sample{}, &struct{}{}} {
			tree, err := ParseForm(form, func(string) bool { return false })
			if err != nil {
				return
			}
			if err := Decode(tree, into); err == nil && len(form) > 0 && tree.leftover("") != "" {
				t.Errorf("%q: left over %s", query, tree.leftover(""))
			}
		}
	})
}

func FuzzWildcard(f *testing.F) {
	f.Add("a*b?c\\*", "axxbyc*")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		plain := !strings.ContainsAny(pattern, `*?\`)
		if got := Wildcard(pattern, value); plain && got != (pattern == value) {
			t.Errorf("%q on %q: %v", pattern, value, got)
		}
		if !Wildcard("*"+pattern, value) && Wildcard(pattern, value) {
			t.Errorf("%q matches %q, but not with a star in front", pattern, value)
		}
	})
}

// FuzzReadScope reads signatures from anything.
func FuzzReadScope(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=A/20260101/r/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "20260101T000000Z", "X-Amz-Algorithm=a")
	f.Add("", "", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=60&X-Amz-Credential=A/20260101/r/ec2/aws4_request&X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=0")
	f.Fuzz(func(t *testing.T, auth, date, query string) {
		r := &http.Request{Method: "POST", URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{"Authorization": {auth}, "X-Amz-Date": {date}}}
		if s, p := ReadScope(r); p == OK && s.Verify(r, nil, s.keyID, "secret", s.Date) == OK {
			t.Errorf("%q, %q: a signature out of nothing", auth, query)
		}
	})
}
