package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxFile is the size of the largest file that is read, in bytes.
const MaxFile = 1 << 20

// clusterParts are the fields at the top of a file.
const clusterParts = "apiVersion, kind, metadata and spec"

// CheckText says whether a file can be text of a cluster at all: its size, its encoding, its characters. The error is an
// Errors. Whoever sends a file on as text asks it before, since bytes that aren't text don't survive that.
func CheckText(data []byte) error { return readable(data).Err() }

func readable(data []byte) Errors {
	switch {
	case len(data) > MaxFile:
		return Errors{{Message: fmt.Sprintf("the file has %d bytes; want at most %d", len(data), MaxFile)}}
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return Errors{{Message: "the file is in UTF-16; save it in UTF-8"}}
	}
	line := 1
	for i, r := range string(data) {
		switch {
		case r == '\n':
			line++
		case r == utf8.RuneError && !bytes.HasPrefix(data[i:], []byte("\uFFFD")):
			return Errors{{Line: line, Message: fmt.Sprintf("the file isn't text in UTF-8: the byte 0x%02x begins no character", data[i])}}
		case r != '\t' && r != '\r' && r != 0x85 && unicode.IsControl(r):
			return Errors{{Line: line, Message: fmt.Sprintf("the file holds the control character %U, which YAML doesn't allow", r)}}
		}
	}
	return nil
}

// document returns the top node of the only document.
func document(data []byte) (*yaml.Node, Errors) {
	if errs := readable(data); errs != nil {
		return nil, errs
	}
	var root *yaml.Node
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, Errors{syntaxError(data, err)}
		}
		if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
			continue
		}
		if root != nil {
			return nil, Errors{{Line: doc.Content[0].Line, Message: "a second document begins here; want one cluster a file"}}
		}
		root = doc.Content[0]
	}
	if root == nil {
		return nil, Errors{{Message: "the file is empty; want a cluster: " + clusterParts}}
	}
	return root, nil
}

var (
	errorLine     = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`) // it says no line
)

// plainer are the YAML parser's words and ours, which say what to do.
var plainer = []struct{ theirs, ours string }{
	{"mapping values are not allowed", "there is a ':' where none can be: begin a new line before the field, or put the value in quotes"},
	{"could not find expected ':'", "a field has no ':' after its name"},
	{"did not find expected key", "in the map that begins here a line is indented unlike the others, or something isn't closed"},
	{"did not find expected '-' indicator", "in the list that begins here a line is indented unlike the others"},
	{"did not find expected ',' or '}'", "a '{' near here isn't closed by '}', or a ',' is missing"},
	{"did not find expected ',' or ']'", "a '[' near here isn't closed by ']', or a ',' is missing"},
	{"did not find expected node content", "the file ends, or a ',' or ':' stands, where a value should be"},
	{"found unexpected end of stream", "the text in quotes that begins here isn't closed"},
	{"found unexpected document indicator", "the text in quotes that begins here isn't closed"},
	{"found character that cannot start any token", "a value begins with a character that YAML keeps to itself; put it in quotes"},
	{"block sequence entries are not allowed", "a '-' stands where no list can begin: put it on a line of its own"},
	{"unknown anchor", "it names an anchor that isn't there, and anchors are not read; write the value out"},
	{"alphabetic or numeric character", "a '&' or '*' begins an anchor, and anchors are not read; put the value in quotes"},
	{"tag", "a '!' begins a tag, and tags are not read; put the value in quotes"},
	{"expected '!'", "a '!' begins a tag, and tags are not read; put the value in quotes"},
	{"directive", "a line begins with '%', which is no field"},
	{"escape", "a text in \" has a '\\' before a letter that means nothing; write '\\\\', or use ' instead"},
	{"<document start>", "something stands before the first field, or after the end of the cluster"},
	{"tab character", "a tab stands where YAML wants spaces"},
	{"exceeded max depth", "it has more levels than any cluster needs"},
}

// unclear is said of all that plainer doesn't know.
const unclear = "a character stands where it means something else in YAML; put the value in quotes"

// syntaxError is the problem of a text that isn't YAML, in words that say what to do. The line is where the parser noticed,
// which is inside the file.
func syntaxError(data []byte, err error) Error {
	for i, l := range strings.Split(string(data), "\n") {
		indent := l[:len(l)-len(strings.TrimLeft(l, " \t"))]
		if strings.Contains(indent, "\t") {
			return Error{Line: i + 1, Message: "the line is indented with a tab; YAML wants spaces"}
		}
	}
	line, message := 1, err.Error() // the parser leaves the first line out
	if m := errorLine.FindStringSubmatch(message); m != nil {
		message = message[len(m[0]):]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		if strings.HasPrefix(message, "did not find expected") && m[1] != "" {
			line++ // of these it counts the lines from 0
		}
	}
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		line = 1 + strings.Count(string(data[:max(0, strings.Index(string(data), "*"+m[1]))]), "\n")
	}
	ours := unclear
	for _, p := range plainer {
		if strings.Contains(message, p.theirs) {
			ours = p.ours
			break
		}
	}
	lines := bytes.Count(bytes.TrimRight(data, "\r\n"), []byte("\n")) + 1
	return Error{Line: min(line, lines), Message: "not YAML: " + ours}
}

// stranger points out the first character of a value that only looks like an ASCII one or can't be seen, after a
// separator; it is empty when there is none.
func stranger(separator, value string) string {
	for _, r := range value {
		switch {
		case r < utf8.RuneSelf && (unicode.IsPrint(r) || unicode.IsSpace(r)):
		case !unicode.IsPrint(r):
			return fmt.Sprintf("%sit holds %U, which can't be seen", separator, r)
		default:
			return fmt.Sprintf("%s%q is %U, not a character of ASCII", separator, r, r)
		}
	}
	return ""
}
