package web

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	docs "github.com/skyweld/skyweld/docs/accounts"
)

// block is a part of a page of documentation: a paragraph, a heading, a list, a text of a terminal, or a table.
type block struct {
	kind blockKind
	text []words
	// code is the text of a terminal.
	code string
	// items are those of a list; rows those of a table, the first one its heads.
	items [][]block
	rows  [][][]words
}

type blockKind int

const (
	paragraph blockKind = iota
	title               // of the page
	heading
	numbered
	bulleted
	terminal
	grid
)

// words are a piece of a line in one style.
type words struct {
	style wordStyle
	text  string
	// href is where a link leads; empty where that is outside the console.
	href string
}

type wordStyle int

const (
	plainWords wordStyle = iota
	codeWords
	strongWords
	stressedWords
	linkWords
)

var (
	numberedItem = regexp.MustCompile(`^\d+\. `)
	inlineMark   = regexp.MustCompile("`[^`]+`|\\*\\*[^*]+\\*\\*|\\*[^*]+\\*|\\[[^\\]]+\\]\\([^)]+\\)")
)

// readBlocks reads as much of Markdown as the pages of docs/accounts use.
func readBlocks(lines []string) []block {
	var out []block
	for i := 0; i < len(lines); {
		line := lines[i]
		marker := itemMarker(line)
		switch {
		case strings.TrimSpace(line) == "":
			i++
		case strings.HasPrefix(line, "```"):
			end := i + 1
			for end < len(lines) && !strings.HasPrefix(lines[end], "```") {
				end++
			}
			out = append(out, block{kind: terminal, code: strings.Join(lines[i+1:end], "\n")})
			i = end + 1
		case strings.HasPrefix(line, "# "):
			out = append(out, block{kind: title, text: readWords(line[2:])})
			i++
		case strings.HasPrefix(line, "## "):
			out = append(out, block{kind: heading, text: readWords(line[3:])})
			i++
		case strings.HasPrefix(line, "|"):
			b := block{kind: grid}
			for ; i < len(lines) && strings.HasPrefix(lines[i], "|"); i++ {
				if strings.HasPrefix(lines[i], "| ---") {
					continue
				}
				var row [][]words
				for cell := range strings.SplitSeq(strings.Trim(lines[i], "| "), " | ") {
					row = append(row, readWords(cell))
				}
				b.rows = append(b.rows, row)
			}
			out = append(out, b)
		case marker > 0:
			b := block{kind: bulleted}
			if numberedItem.MatchString(line) {
				b.kind = numbered
			}
			for i < len(lines) && itemMarker(lines[i]) > 0 {
				end := i + 1
				for end < len(lines) && (strings.TrimSpace(lines[end]) == "" || strings.HasPrefix(lines[end], "  ")) {
					end++
				}
				item := []string{lines[i][itemMarker(lines[i]):]}
				for _, l := range lines[i+1 : end] {
					item = append(item, dedent(l, itemMarker(lines[i])))
				}
				b.items = append(b.items, readBlocks(item))
				i = end
			}
			out = append(out, b)
		default:
			end := i + 1
			for end < len(lines) && strings.TrimSpace(lines[end]) != "" && !strings.HasPrefix(lines[end], "```") && itemMarker(lines[end]) == 0 {
				end++
			}
			out = append(out, block{text: readWords(strings.Join(lines[i:end], " "))})
			i = end
		}
	}
	return out
}

// itemMarker is how long what begins an item of a list is, 0 for a line that begins none.
func itemMarker(line string) int {
	if strings.HasPrefix(line, "- ") {
		return 2
	}
	return len(numberedItem.FindString(line))
}

func dedent(line string, n int) string {
	return line[min(n, len(line)-len(strings.TrimLeft(line, " "))):]
}

func readWords(text string) []words {
	var out []words
	at := 0
	for _, m := range inlineMark.FindAllStringIndex(text, -1) {
		if m[0] > at {
			out = append(out, words{text: text[at:m[0]]})
		}
		at = m[1]
		switch piece := text[m[0]:m[1]]; {
		case piece[0] == '`':
			out = append(out, words{style: codeWords, text: strings.Trim(piece, "`")})
		case strings.HasPrefix(piece, "**"):
			out = append(out, words{style: strongWords, text: strings.Trim(piece, "*")})
		case piece[0] == '*':
			out = append(out, words{style: stressedWords, text: strings.Trim(piece, "*")})
		default:
			label, to, _ := strings.Cut(piece[1:len(piece)-1], "](")
			out = append(out, words{style: linkWords, text: label, href: docLink(to)})
		}
	}
	if at < len(text) {
		out = append(out, words{text: text[at:]})
	}
	return out
}

// docLink is where a link of a page leads in the console.
func docLink(to string) string {
	switch {
	case strings.HasPrefix(to, "https://"):
		return to
	case strings.Contains(to, "/"): // another page of the documentation
		return ""
	case path.Ext(to) == ".md":
		return "/account-help/" + strings.TrimSuffix(to, ".md")
	}
	return "/account-files/" + to
}

// here puts what pages say for a reader with the repository's folder into what is true for one with the console: the policy
// was downloaded from it.
var here = strings.NewReplacer(
	", from the folder that this repository is in", ", from the folder that you have downloaded the file to",
	"docs/accounts/", "",
)

// accountDoc is the page of a cloud.
type accountDoc struct {
	blocks []block
	// file is the name of what is to be granted, policy its text.
	file, policy string
}

var policyFiles = map[string]string{"aws": "aws-policy.json", "gcp": "gcp-role.yaml", "azure": "azure-role.json", "digitalocean": "digitalocean-scopes.txt"}

// accountDocs are the pages by cloud. They are part of the program: a bad one is a bug.
var accountDocs = sync.OnceValue(func() map[string]accountDoc {
	out := map[string]accountDoc{}
	for id, file := range policyFiles {
		out[id] = accountDoc{blocks: readBlocks(strings.Split(here.Replace(docFile(id+".md")), "\n")), file: file, policy: docFile(file)}
	}
	return out
})

func docFile(name string) string {
	text, err := docs.Files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("web: docs/accounts: %v", err))
	}
	return string(text)
}

// section are the blocks under a heading.
func (d accountDoc) section(name string) []block {
	at := slices.IndexFunc(d.blocks, func(b block) bool { return b.kind == heading && plainText(b.text) == name })
	if at < 0 {
		return nil
	}
	rest := d.blocks[at+1:]
	if end := slices.IndexFunc(rest, func(b block) bool { return b.kind == heading }); end >= 0 {
		rest = rest[:end]
	}
	return rest
}

// The headings that the console looks for.
const (
	docSteps   = "Step by step"
	docMissing = "When something is missing"
	docAdding  = "Add the account" // begins the step that the console's own form stands in for
)

// steps are how to make credentials, without adding the account: that is done on the page that shows them.
func (d accountDoc) steps() []block {
	for _, b := range d.section(docSteps) {
		if b.kind == numbered {
			b.items = slices.DeleteFunc(slices.Clone(b.items), func(item []block) bool {
				return len(item) > 0 && len(item[0].text) > 0 && item[0].text[0].text == docAdding
			})
			return []block{b}
		}
	}
	return nil
}

// intro is what a page says before its first heading.
func (d accountDoc) intro() []block {
	at := slices.IndexFunc(d.blocks, func(b block) bool { return b.kind == heading })
	return slices.DeleteFunc(slices.Clone(d.blocks[:max(0, at)]), func(b block) bool { return b.kind == title })
}

// whole is a page but for its title.
func (d accountDoc) whole() []block { return d.blocks[1:] }

func plainText(list []words) string {
	var b strings.Builder
	for _, w := range list {
		b.WriteString(w.text)
	}
	return b.String()
}
