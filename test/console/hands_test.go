package console_test

import "time"

// hands use the page that a tab shows. They find controls by role and name, as a screen reader tells them.
type hands interface {
	// follow uses a link or a button that leads to another page, press one that doesn't.
	follow(role, name string)
	press(role, name string)
	// enter writes into a field, choose takes an option of a list, tick a box or a radio button.
	enter(label, text string)
	choose(label, option string)
	tick(role, label string)
}

// control says which one is meant.
type control struct {
	Role   string `json:"role"`
	Name   string `json:"name"`
	Within string `json:"within,omitempty"`
	Follow bool   `json:"follow,omitempty"`
	Text   string `json:"text,omitempty"`
	Option string `json:"option,omitempty"`
}

// fieldRoles are the roles of fields for text.
var fieldRoles = []string{"textbox", "spinbutton", "searchbox", "combobox"}

// field is the field with a label. Those for passwords have no role, so that the driver knows them by their label.
func (p *tab) field(label string) control {
	p.t.Helper()
	for _, role := range fieldRoles {
		c := control{Role: role, Name: label}
		var there bool
		if p.do("has", c, &there); there {
			return c
		}
	}
	return control{Name: label}
}

// mouse does everything by mouse, but for typing.
type mouse struct{ *tab }

func (m mouse) follow(role, name string) {
	m.t.Helper()
	m.do("click", control{Role: role, Name: name, Follow: true}, nil)
}

func (m mouse) press(role, name string) {
	m.t.Helper()
	m.do("click", control{Role: role, Name: name}, nil)
}

// try presses what may do nothing.
func (m mouse) try(role, name string) { m.tab.try("click", control{Role: role, Name: name}, nil) }

func (m mouse) enter(label, text string) {
	m.t.Helper()
	c := m.field(label)
	c.Text = text
	m.do("clickInto", c, nil)
}

func (m mouse) choose(label, option string) {
	m.t.Helper()
	m.do("clickChoose", control{Role: "combobox", Name: label, Option: option}, nil)
}

func (m mouse) tick(role, label string) {
	m.t.Helper()
	m.do("click", control{Role: role, Name: label}, nil)
}

// keyboard does everything by Tab, Enter, Space, arrows and typing.
type keyboard struct{ *tab }

func (k keyboard) follow(role, name string) {
	k.t.Helper()
	k.do("key", control{Role: role, Name: name, Follow: true}, nil)
}

func (k keyboard) press(role, name string) {
	k.t.Helper()
	k.do("key", control{Role: role, Name: name}, nil)
}

func (k keyboard) enter(label, text string) {
	k.t.Helper()
	c := k.field(label)
	c.Text = text
	k.do("keyInto", c, nil)
}

func (k keyboard) choose(label, option string) {
	k.t.Helper()
	k.do("keyChoose", control{Role: "combobox", Name: label, Option: option}, nil)
}

func (k keyboard) tick(role, label string) {
	k.t.Helper()
	k.do("keyTick", control{Role: role, Name: label}, nil)
}

// sees waits until a text stands in a part of the page (a selector of CSS), or nothing else where exactly is said: 20 s,
// unless patience is said.
func (p *tab) sees(text, within string, patience time.Duration) {
	p.t.Helper()
	p.waits(map[string]any{"text": text, "within": within}, patience)
}

func (p *tab) seesExactly(text, within string, patience time.Duration) {
	p.t.Helper()
	p.waits(map[string]any{"text": text, "within": within, "exactly": true}, patience)
}

func (p *tab) waits(what map[string]any, patience time.Duration) {
	p.t.Helper()
	if patience == 0 {
		patience = 20 * time.Second
	}
	what["seconds"] = patience.Seconds()
	if problem := p.try("sees", what, nil); problem != "" {
		p.shot("not-seen")
		var there string
		p.try("text", map[string]string{"selector": "main"}, &there)
		p.t.Fatalf("%q doesn't come in %s: %s\n%s", what["text"], what["within"], problem, there)
	}
}

// look says whether a text stands in a part of the page now.
func (p *tab) look(text, within string) bool {
	return p.try("sees", map[string]any{"text": text, "within": within, "seconds": 0.2}, nil) == ""
}

// clicks is how often the mouse was clicked in the tab.
func (p *tab) clicks() int {
	p.t.Helper()
	var n int
	p.do("clicks", nil, &n)
	return n
}
