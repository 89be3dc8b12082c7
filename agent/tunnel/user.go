package tunnel

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/skyweld/skyweld/mesh"
)

// socketFolder is where wg(8) and wgctrl look for devices in user space (wireguard-go, ipc/uapi_unix.go).
const socketFolder = "/var/run/wireguard"

// userDevice is WireGuard in this process, with its control socket.
type userDevice struct {
	device *device.Device
	socket net.Listener
}

func newUserDevice(mtu int, log *slog.Logger) (*userDevice, error) {
	tunnel, err := tun.CreateTUN(mesh.Device, mtu)
	if err != nil {
		return nil, fmt.Errorf("make TUN device: %w", err)
	}
	logger := &device.Logger{
		Verbosef: device.DiscardLogf,
		Errorf:   func(format string, args ...any) { log.Warn("tunnel", "message", fmt.Sprintf(format, args...)) },
	}
	user := &userDevice{device: device.NewDevice(tunnel, conn.NewDefaultBind(), logger)}
	if user.socket, err = listen(); err != nil {
		user.device.Close()
		return nil, fmt.Errorf("listen on the tunnel's control socket: %w", err)
	}
	go user.serve()
	return user, nil
}

func listen() (net.Listener, error) {
	if err := os.MkdirAll(socketFolder, 0o700); err != nil {
		return nil, err
	}
	place := socketFolder + "/" + mesh.Device + ".sock"
	if err := os.Remove(place); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	socket, err := net.Listen("unix", place)
	if err != nil {
		return nil, err
	}
	return socket, os.Chmod(place, 0o600)
}

func (u *userDevice) serve() {
	for {
		connection, err := u.socket.Accept()
		if err != nil {
			return
		}
		go u.device.IpcHandle(connection)
	}
}

func (u *userDevice) close() {
	u.device.Close()
	_ = u.socket.Close() // it only unlinks the socket; there is nobody to tell
}
