// Package accounts reads and extends a machine's passwd and group files. It knows no passwords: there are none.
package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrUnknown is returned for an account or group that isn't there.
var ErrUnknown = errors.New("is not there")

// Account is one line of passwd(5).
type Account struct {
	Name               string
	UID, GID           int
	Gecos, Home, Shell string
}

// DB is the folder with the files "passwd" and "group": "/etc" on a machine.
type DB string

func (db DB) lines(file string, fields int) ([][]string, error) {
	text, err := os.ReadFile(filepath.Join(string(db), file))
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	var out [][]string
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimRight(line, "\n"), ":"); len(f) == fields {
			out = append(out, f)
		}
	}
	return out, nil
}

// All returns every account, in the file's order.
func (db DB) All() ([]Account, error) {
	lines, err := db.lines("passwd", 7)
	if err != nil {
		return nil, err
	}
	var all []Account
	for _, f := range lines {
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 == nil && err2 == nil {
			all = append(all, Account{Name: f[0], UID: uid, GID: gid, Gecos: f[4], Home: f[5], Shell: f[6]})
		}
	}
	return all, nil
}

// Lookup returns the account with this name.
func (db DB) Lookup(name string) (Account, error) {
	all, err := db.All()
	if err != nil {
		return Account{}, err
	}
	if i := slices.IndexFunc(all, func(a Account) bool { return a.Name == name }); i >= 0 {
		return all[i], nil
	}
	return Account{}, fmt.Errorf("account %s %w", name, ErrUnknown)
}

// Group returns the id of the group with this name.
func (db DB) Group(name string) (int, error) {
	lines, err := db.lines("group", 4)
	if err != nil {
		return 0, err
	}
	for _, f := range lines {
		if f[0] == name {
			return strconv.Atoi(f[2])
		}
	}
	return 0, fmt.Errorf("group %s %w", name, ErrUnknown)
}

// Groups returns the ids of all groups of an account, its own first.
func (db DB) Groups(a Account) ([]uint32, error) {
	lines, err := db.lines("group", 4)
	if err != nil {
		return nil, err
	}
	ids := []uint32{uint32(a.GID)}
	for _, f := range lines {
		id, err := strconv.Atoi(f[2])
		if err == nil && id != a.GID && slices.Contains(strings.Split(f[3], ","), a.Name) {
			ids = append(ids, uint32(id))
		}
	}
	return ids, nil
}

// Add makes an account with a group of its own, the next free ids from 1000 on, and a home folder. An account that is
// there is returned as it is, apart from new groups. UID and GID are ignored, Home and Shell have the usual defaults.
func (db DB) Add(a Account, groups []string, root string) (Account, error) {
	have, err := db.Lookup(a.Name)
	switch {
	case err == nil:
		a = have
	case !errors.Is(err, ErrUnknown):
		return Account{}, err
	default:
		if a, err = db.create(a); err != nil {
			return Account{}, fmt.Errorf("add account %s: %w", a.Name, err)
		}
	}
	for _, g := range groups {
		if err := db.join(g, a.Name); err != nil {
			return Account{}, fmt.Errorf("add account %s to group %s: %w", a.Name, g, err)
		}
	}
	home := filepath.Join(root, a.Home)
	if _, err := os.Stat(home); err == nil {
		return a, nil
	}
	if err := os.MkdirAll(home, 0o750); err != nil {
		return Account{}, fmt.Errorf("add account %s: %w", a.Name, err)
	}
	if err := os.Lchown(home, a.UID, a.GID); err != nil {
		return Account{}, fmt.Errorf("add account %s: %w", a.Name, err)
	}
	return a, nil
}

func (db DB) create(a Account) (Account, error) {
	if a.Home == "" {
		a.Home = "/home/" + a.Name
	}
	if a.Shell == "" {
		a.Shell = "/bin/bash"
	}
	id, err := db.free()
	if err != nil {
		return a, err
	}
	a.UID, a.GID = id, id
	if gid, err := db.Group(a.Name); err == nil {
		a.GID = gid
	} else if err := db.add("group", fmt.Sprintf("%s:x:%d:", a.Name, a.GID)); err != nil {
		return a, err
	}
	return a, db.add("passwd", fmt.Sprintf("%s:x:%d:%d:%s:%s:%s", a.Name, a.UID, a.GID, a.Gecos, a.Home, a.Shell))
}

// free returns an id from 1000 on that neither an account nor a group has.
func (db DB) free() (int, error) {
	used := map[string]bool{}
	for file, fields := range map[string]int{"passwd": 7, "group": 4} {
		lines, err := db.lines(file, fields)
		if err != nil {
			return 0, err
		}
		for _, f := range lines {
			used[f[2]] = true
		}
	}
	id := 1000
	for used[strconv.Itoa(id)] {
		id++
	}
	return id, nil
}

// join puts an account into a group, which is made when it isn't there.
func (db DB) join(group, account string) error {
	lines, err := db.lines("group", 4)
	if err != nil {
		return err
	}
	for _, f := range lines {
		if f[0] != group {
			continue
		}
		members := strings.FieldsFunc(f[3], func(c rune) bool { return c == ',' })
		if slices.Contains(members, account) {
			return nil
		}
		before := strings.Join(f, ":")
		f[3] = strings.Join(append(members, account), ",")
		return db.change("group", func(text string) string {
			return strings.Replace("\n"+text, "\n"+before+"\n", "\n"+strings.Join(f, ":")+"\n", 1)[1:]
		})
	}
	id, err := db.free()
	if err != nil {
		return err
	}
	return db.add("group", fmt.Sprintf("%s:x:%d:%s", group, id, account))
}

func (db DB) add(file, line string) error {
	return db.change(file, func(text string) string {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return text + line + "\n"
	})
}

// change replaces a file in one step, so that nobody reads half of it.
func (db DB) change(file string, edit func(string) string) error {
	path := filepath.Join(string(db), file)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(path+".new", []byte(edit(string(text))), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
