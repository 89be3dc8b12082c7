// Package tables reads the embedded tables of what the lab's clouds offer.
package tables

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// Unpack returns what gzip packed.
func Unpack(data []byte) ([]byte, error) {
	gz, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(gz)
}

// Read calls line with each line of a table, whose first field says what it is about; lines differ in how many fields they
// have. A row is only good until line returns. Comments begin with a number sign.
func Read(table []byte, line func(row []string) error) error {
	r := csv.NewReader(bytes.NewReader(table))
	r.Comment, r.FieldsPerRecord, r.ReuseRecord = '#', -1, true
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := line(row); err != nil {
			return err
		}
	}
}

// Offers says which of a cloud's places have which types of machine. Places go by their index; a type's are a bit set, in a
// table a hexadecimal number with the first place as its lowest bit.
type Offers struct {
	sets  map[string]*big.Int
	known big.Int // places of which anything is known
}

// Put notes that a place has a type.
func (o *Offers) Put(name string, place int) {
	if o.sets[name] == nil {
		o.set(name, new(big.Int))
	}
	o.sets[name].SetBit(o.sets[name], place, 1)
	o.known.SetBit(&o.known, place, 1)
}

// Parse takes a type's places from a table.
func (o *Offers) Parse(name, set string) error {
	n, ok := new(big.Int).SetString(set, 16)
	if !ok {
		return fmt.Errorf("offer of %s: %q is no bit set", name, set)
	}
	o.set(name, n)
	o.known.Or(&o.known, n)
	return nil
}

func (o *Offers) set(name string, places *big.Int) {
	if o.sets == nil {
		o.sets = map[string]*big.Int{}
	}
	o.sets[name] = places
}

// Text is a type's places for a table; empty when no place has it.
func (o *Offers) Text(name string) string {
	if o.sets[name] == nil {
		return ""
	}
	return o.sets[name].Text(16)
}

// Has says whether a place has a type. One that nothing is known of has what all others have.
func (o *Offers) Has(name string, place int) bool {
	set := o.sets[name]
	switch {
	case set == nil:
		return false
	case o.known.Bit(place) == 0:
		return set.Cmp(&o.known) == 0
	}
	return set.Bit(place) == 1
}
