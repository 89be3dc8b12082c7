package teardown

import (
	"strings"
	"testing"
)

// TestTable holds that the page can be read, and that it says as much as was promised of it.
func TestTable(t *testing.T) {
	rows := Rows(t)
	count := map[string]int{}
	for _, r := range rows {
		count[r.Cloud]++
		if r.Cloud != AWS && r.Refused() {
			if status, reason, operation := r.HTTP(); status < 400 && !operation || reason == "" {
				t.Errorf("row %s: status %d, reason %q", r.ID, status, reason)
			}
		}
	}
	if count[AWS] < 20 || count[GCP] < 20 || count[Azure] < 20 || len(rows) < 60 {
		t.Errorf("%d rows: %v", len(rows), count)
	}
}

const page = `
## Deletion

### AWS

| id | resource | call | in the way | code | source | driver |
| --- | --- | --- | --- | --- | --- | --- |
ROW

[doc]: https://example.com/doc
`

const good = "| aws-vpc-subnet | vpc | DeleteVpc | `subnet` in it | DependencyViolation | [doc] | order |"

func TestParse(t *testing.T) {
	rows, err := Parse(strings.Replace(page, "ROW", good, 1))
	if err != nil {
		t.Fatal(err)
	}
	want := Row{ID: "aws-vpc-subnet", Cloud: AWS, Resource: "vpc", Call: "DeleteVpc", Other: "subnet", When: "in it", Code: "DependencyViolation",
		Sources: []string{"https://example.com/doc"}, Driver: Order}
	if len(rows) != 1 || rows[0].ID != want.ID || rows[0].Other != want.Other || rows[0].When != want.When || rows[0].Driver != want.Driver ||
		rows[0].Creation || !rows[0].Refused() || len(rows[0].Sources) != 1 {
		t.Errorf("got %+v, want %+v", rows, want)
	}
	for name, row := range map[string]string{
		"twice":              good + "\n" + good,
		"no source":          strings.Replace(good, "[doc]", "hearsay", 1),
		"unknown source":     strings.Replace(good, "[doc]", "[doc], [doc 2]", 1),
		"other cloud":        strings.Replace(good, "aws-", "gcp-", 1),
		"id of a creation":   strings.Replace(good, "aws-", "aws-make-", 1),
		"no name":            strings.Replace(good, "`subnet`", "a subnet", 1),
		"treatment":          strings.Replace(good, "order", "perhaps", 1),
		"never without why":  strings.Replace(good, "order", "never", 1),
		"code":               strings.Replace(good, "DependencyViolation", "400 notFound", 1),
		"empty cell":         strings.Replace(good, "DeleteVpc", "", 1),
		"a cell too few":     strings.Replace(good, "| DeleteVpc ", "", 1),
		"no row":             "",
		"heading of a cloud": "### Alibaba",
	} {
		if rows, err := Parse(strings.Replace(page, "ROW", row, 1)); err == nil {
			t.Errorf("%s: got %v", name, rows)
		}
	}
}
