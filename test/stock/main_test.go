//go:build linux

package stock_test

import (
	"os"
	"testing"

	"github.com/skyweld/skyweld/lab/machine"
)

func TestMain(m *testing.M) {
	machine.Main() // the lab's own machines are this program, started again
	os.Exit(m.Run())
}
