package spec

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Marshal writes a cluster as YAML that Parse reads, with the status, if it has one, at the end.
func Marshal(c *Cluster) ([]byte, error) {
	// By way of JSON the fields keep their order and their one set of names.
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(c); err != nil {
		return nil, fmt.Errorf("write cluster %s: %w", c.Metadata.Name, err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text.Bytes(), &doc); err != nil {
		return nil, fmt.Errorf("write cluster %s: %w", c.Metadata.Name, err)
	}
	plain(&doc)
	var out bytes.Buffer
	y := yaml.NewEncoder(&out)
	y.SetIndent(2)
	if err := y.Encode(&doc); err != nil {
		return nil, fmt.Errorf("write cluster %s: %w", c.Metadata.Name, err)
	}
	return out.Bytes(), nil
}

// plain drops JSON's braces and quotes; what needs quotes in YAML gets them back.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		plain(c)
	}
}
