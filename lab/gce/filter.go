package gce

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A filter is the filter parameter of list calls in both of its forms, as the API's reference describes them: comparisons
// with operators (name = "x", labels.k:*, size > 10, AND, OR, NOT, parentheses, and AND between what merely follows) and
// the older "field eq regex" and "field ne regex", whose expression must match the whole value.

// expr is a parsed filter.
type expr interface {
	match(item map[string]any, links []string) bool
}

type (
	andExpr  []expr
	orExpr   []expr
	notExpr  struct{ expr }
	termExpr struct {
		field []string
		op    string // = != < <= > >= : eq ne
		value string
		regex *regexp.Regexp // for eq and ne
	}
)

func (e andExpr) match(item map[string]any, links []string) bool {
	return !slices.ContainsFunc(e, func(x expr) bool { return !x.match(item, links) })
}

func (e orExpr) match(item map[string]any, links []string) bool {
	return slices.ContainsFunc(e, func(x expr) bool { return x.match(item, links) })
}

func (e notExpr) match(item map[string]any, links []string) bool { return !e.expr.match(item, links) }

// match compares a field with the term's value. The links are beginnings that a URL in the item may have been written
// with by the caller: each is tried.
func (e termExpr) match(item map[string]any, links []string) bool {
	values, present := lookup(item, e.field)
	if e.op == ":" && e.value == "*" {
		return present
	}
	hit := slices.ContainsFunc(values, func(v any) bool { return e.compare(v, links) })
	if e.op == "!=" || e.op == "ne" {
		return !hit
	}
	return hit
}

// compare says whether one value satisfies the term; for the negative operators, whether it satisfies the positive one.
func (e termExpr) compare(v any, links []string) bool {
	switch v := v.(type) {
	case bool:
		return e.compareText(strconv.FormatBool(v))
	case json.Number:
		return e.compareText(v.String())
	case int:
		return e.compareText(strconv.Itoa(v))
	case float64:
		return e.compareText(strconv.FormatFloat(v, 'f', -1, 64))
	case string:
		if len(links) > 0 && strings.HasPrefix(v, links[0]) {
			rest := v[len(links[0]):]
			return slices.ContainsFunc(links, func(l string) bool { return e.compareText(l + rest) })
		}
		return e.compareText(v)
	}
	return false
}

func (e termExpr) compareText(v string) bool {
	switch e.op {
	case "eq", "ne":
		return e.regex.MatchString(v)
	case "=", "!=":
		return v == e.value || wildcard(e.value, v)
	case ":":
		if strings.Contains(e.value, "*") {
			return wildcard(strings.ToLower(e.value), strings.ToLower(v))
		}
		return strings.Contains(strings.ToLower(v), strings.ToLower(e.value))
	}
	order := strings.Compare(v, e.value)
	a, err1 := strconv.ParseFloat(v, 64)
	b, err2 := strconv.ParseFloat(e.value, 64)
	if err1 == nil && err2 == nil {
		order = 0
		if a < b {
			order = -1
		} else if a > b {
			order = 1
		}
	}
	switch e.op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// wildcard matches a pattern in which "*" stands for anything.
func wildcard(pattern, v string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == v
	}
	if !strings.HasPrefix(v, parts[0]) {
		return false
	}
	v = v[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(v, p)
		if i < 0 {
			return false
		}
		v = v[i+len(p):]
	}
	return strings.HasSuffix(v, parts[len(parts)-1])
}

// lookup collects the values under a dotted path, through every element of lists on the way.
func lookup(v any, path []string) (values []any, present bool) {
	switch v := v.(type) {
	case map[string]any:
		if len(path) == 0 {
			return nil, true
		}
		if sub, ok := v[path[0]]; ok {
			return lookup(sub, path[1:])
		}
		whole := strings.Join(path, ".") // a label's key may hold dots
		if sub, ok := v[whole]; ok {
			return lookup(sub, nil)
		}
		return nil, false
	case []any:
		for _, item := range v {
			vs, ok := lookup(item, path)
			values, present = append(values, vs...), present || ok
		}
		return values, present
	}
	if len(path) > 0 {
		return nil, false
	}
	return []any{v}, true
}

// parseFilter reads a filter; an empty text matches everything.
func parseFilter(text string) (expr, error) {
	tokens, err := lexFilter(text)
	if err != nil {
		return nil, err
	}
	p := &filterParser{tokens: tokens}
	if p.peek().kind == tokenEnd {
		return andExpr{}, nil
	}
	e, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.peek().kind != tokenEnd {
		return nil, fmt.Errorf("unexpected %q", p.peek().text)
	}
	return e, nil
}

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenString
	tokenOp
	tokenOpen
	tokenClose
)

type token struct {
	kind tokenKind
	text string
}

func lexFilter(text string) ([]token, error) {
	var out []token
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case unicode.IsSpace(rune(c)):
			i++
		case c == '(':
			out, i = append(out, token{tokenOpen, "("}), i+1
		case c == ')':
			out, i = append(out, token{tokenClose, ")"}), i+1
		case c == '"' || c == '\'':
			s, n, err := lexQuoted(text[i:])
			if err != nil {
				return nil, err
			}
			out, i = append(out, token{tokenString, s}), i+n
		case strings.HasPrefix(text[i:], "!="), strings.HasPrefix(text[i:], "<="), strings.HasPrefix(text[i:], ">="):
			out, i = append(out, token{tokenOp, text[i : i+2]}), i+2
		case strings.IndexByte("=<>:", c) >= 0:
			out, i = append(out, token{tokenOp, string(c)}), i+1
		default:
			// After an operator a bare value runs to the next space or parenthesis: URLs and times hold colons.
			stop := " \t\r\n()=<>:!\"'"
			if n := len(out); n > 0 && (out[n-1].kind == tokenOp || isRegexOp(out)) {
				stop = " \t\r\n()"
			}
			n := strings.IndexAny(text[i:], stop)
			if n < 0 {
				n = len(text) - i
			}
			if n == 0 {
				return nil, fmt.Errorf("unexpected %q", c)
			}
			out, i = append(out, token{tokenWord, text[i : i+n]}), i+n
		}
	}
	return out, nil
}

// isRegexOp says that the last tokens are a field and eq or ne.
func isRegexOp(tokens []token) bool {
	n := len(tokens)
	return n >= 2 && tokens[n-1].kind == tokenWord && (tokens[n-1].text == "eq" || tokens[n-1].text == "ne") && tokens[n-2].kind == tokenWord
}

func lexQuoted(text string) (string, int, error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case text[0]:
			return b.String(), i + 1, nil
		case '\\':
			// A backslash hides a quote or a backslash; before anything else it is itself (regular expressions).
			if i+1 < len(text) && (text[i+1] == text[0] || text[i+1] == '\\') {
				i++
			}
			b.WriteByte(text[i])
		default:
			b.WriteByte(text[i])
		}
	}
	return "", 0, fmt.Errorf("a quote is not closed")
}

type filterParser struct {
	tokens []token
	at     int
}

const maxFilterDepth = 64

func (p *filterParser) peek() token {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return token{}
}

func (p *filterParser) next() token {
	t := p.peek()
	p.at++
	return t
}

func (p *filterParser) word(text string) bool {
	if t := p.peek(); t.kind == tokenWord && t.text == text {
		p.at++
		return true
	}
	return false
}

func (p *filterParser) or(depth int) (expr, error) {
	if depth > maxFilterDepth {
		return nil, fmt.Errorf("nested too deeply")
	}
	var list orExpr
	for {
		e, err := p.and(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		if !p.word("OR") {
			if len(list) == 1 {
				return list[0], nil
			}
			return list, nil
		}
	}
}

func (p *filterParser) and(depth int) (expr, error) {
	var list andExpr
	for {
		e, err := p.not(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		more := p.word("AND")
		next := p.peek()
		if !more && (next.kind == tokenEnd || next.kind == tokenClose || next.text == "OR") {
			if len(list) == 1 {
				return list[0], nil
			}
			return list, nil
		}
	}
}

func (p *filterParser) not(depth int) (expr, error) {
	if p.word("NOT") || p.word("-") {
		if depth > maxFilterDepth {
			return nil, fmt.Errorf("nested too deeply")
		}
		e, err := p.not(depth + 1)
		return notExpr{e}, err
	}
	if p.peek().kind == tokenOpen {
		p.at++
		e, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.next().kind != tokenClose {
			return nil, fmt.Errorf("a parenthesis is not closed")
		}
		return e, nil
	}
	return p.term()
}

func (p *filterParser) term() (expr, error) {
	field, op := p.next(), p.next()
	if field.kind != tokenWord && field.kind != tokenString {
		return nil, fmt.Errorf("a field name is missing")
	}
	isRegex := op.kind == tokenWord && (op.text == "eq" || op.text == "ne")
	if op.kind != tokenOp && !isRegex {
		return nil, fmt.Errorf("an operator is missing after %q", field.text)
	}
	value := p.next()
	if value.kind != tokenWord && value.kind != tokenString {
		return nil, fmt.Errorf("a value is missing after %q", field.text)
	}
	negative := field.kind == tokenWord && strings.HasPrefix(field.text, "-")
	t := termExpr{field: strings.Split(strings.TrimPrefix(field.text, "-"), "."), op: op.text, value: value.text}
	if isRegex {
		var err error
		if t.regex, err = regexp.Compile(`^(?:` + t.value + `)$`); err != nil {
			return nil, err
		}
	}
	if negative {
		return notExpr{t}, nil
	}
	return t, nil
}
