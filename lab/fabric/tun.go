//go:build linux

package fabric

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// internetMTU is what the internet carries; jumbo frames end at the router.
	internetMTU = 1500
	// vnetHeader is the size of the virtio_net_hdr before each packet (virtio 1.2, 5.1.6, without num_buffers).
	vnetHeader = 10
	// maxPacket is the largest read from a TUN device: a segmented packet as one, with its header.
	maxPacket = vnetHeader + 1<<16
)

// openTUN makes a TUN device in the calling thread's namespace. Packets come with a virtio header and may be as large
// as 64 KiB: what one kernel hands over as a burst of segments, the other kernel takes as such, so the switch pays
// once for many packets. The device vanishes with the file.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	if err := setupTUN(fd, name); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("TUN device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), "tun:"+name), nil
}

func setupTUN(fd int, name string) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return fmt.Errorf("TUNSETIFF: %w", err)
	}
	size := int32(vnetHeader)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETVNETHDRSZ, uintptr(unsafe.Pointer(&size))); errno != 0 {
		return fmt.Errorf("TUNSETVNETHDRSZ: %w", errno)
	}
	const tcp = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	// Kernels before 6.2 don't segment UDP for a TUN device.
	err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp|unix.TUN_F_USO4|unix.TUN_F_USO6)
	if err != nil {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp)
	}
	if err != nil {
		return fmt.Errorf("TUNSETOFFLOAD: %w", err)
	}
	return nil
}
