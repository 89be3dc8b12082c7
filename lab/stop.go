package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/skyweld/skyweld/lab/fabric"
	"github.com/skyweld/skyweld/lab/machine"
)

// Stop ends the lab in a folder and returns when nothing of it is left but the folder. What a lab that was killed left
// behind is removed by its records.
func Stop(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	info, err := Read(dir)
	if err != nil {
		return fmt.Errorf("there is no lab in %s: %w", dir, err)
	}
	if os.Geteuid() != 0 {
		return errors.New("the lab was started by root, and stopping it needs root too: use sudo")
	}
	if info.PID != 0 {
		if err := syscall.Kill(info.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the lab's process %d: %w", info.PID, err)
		}
		for running(dir) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("the lab's process %d is still there: %w", info.PID, ctx.Err())
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return errors.Join(machine.Clean(filepath.Join(dir, "machines")), fabric.Clean(filepath.Join(dir, "wires")), inotify.release(shortName(dir)))
}
