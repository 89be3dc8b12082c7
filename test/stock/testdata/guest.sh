#!/bin/bash
# The first process of a machine that starts as a cloud's Debian does, without a kernel of its own: it is started in new
# mount, process, network, host name and IPC namespaces, reads a line when its interfaces are there, makes itself a
# root from a Debian tree, and runs cloud-init's stages in the order of its units. The host name they end with is kept in
# /var/hostname, the network they made in /var/network. What is in FOLDER/media is on a disc in the machine's drive.
#
#   guest.sh TREE FOLDER DATASOURCE SERIAL UUID
set -eu
tree=$1 folder=$2 datasource=$3 serial=$4 uuid=$5
root=$folder/root
read -r _

mount --make-rprivate /
mkdir -p "$folder"/{upper,work,root,sysfs}
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$folder/upper,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
for d in run tmp dev sys; do mount -t tmpfs tmpfs "$root/$d"; done
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
ln -s /proc/self/fd "$root/dev/fd"
: >"$root/dev/console"

# What cloud-init looks at in /sys: the interfaces, which must not look like virtual ones, and the firmware's tables.
mount -t sysfs sysfs "$folder/sysfs"
mkdir -p "$root"/sys/{devices,class/net,class/dmi/id}
mount --bind "$folder/sysfs/devices" "$root/sys/devices"
for nic in "$folder"/sysfs/devices/virtual/net/eth*; do
	nic=${nic##*/}
	mkdir -p "$root/sys/class/net/$nic/device"
	for f in "$folder/sysfs/devices/virtual/net/$nic"/*; do ln -s "/sys/devices/virtual/net/$nic/${f##*/}" "$root/sys/class/net/$nic/"; done
done
ln -s /sys/devices/virtual/net/lo "$root/sys/class/net/lo"
firmware() { printf '%s\n' "$2" >"$root/sys/class/dmi/id/$1"; }
firmware chassis_asset_tag ''
firmware product_serial "$serial"
firmware product_uuid "$uuid"
case $datasource in
Ec2)
	firmware sys_vendor 'Amazon EC2'
	firmware product_name m6i.large
	firmware chassis_asset_tag 'Amazon EC2'
	;;
GCE)
	firmware sys_vendor Google
	firmware product_name 'Google Compute Engine'
	;;
Azure)
	firmware sys_vendor 'Microsoft Corporation'
	firmware product_name 'Virtual Machine'
	firmware chassis_asset_tag 7783-7084-3265-9085-8269-3286-77
	;;
DigitalOcean)
	firmware sys_vendor DigitalOcean
	firmware product_name Droplet
	;;
esac

# This root is no disk that could grow.
printf 'resize_rootfs: false\ngrowpart: {mode: "off"}\n' >"$root/etc/cloud/cloud.cfg.d/99_guest.cfg"
# A link that has just come up may lose what is sent first: it is sent again soon.
printf 'initial-interval 1;\nbackoff-cutoff 2;\n' >>"$root/etc/dhcp/dhclient.conf"
# Google's own images know the service by name before they have a resolver.
[[ $datasource != GCE ]] || printf '169.254.169.254 metadata.google.internal\n' >>"$root/etc/hosts"

# A drive's disc is mounted under its name, as without a kernel of its own the machine has no drive.
if [[ -d $folder/media ]]; then
	mkdir -p "$root/run/media"
	mount -t tmpfs -o size=1m /dev/sr0 "$root/run/media"
	cp "$folder"/media/* "$root/run/media/"
	mount -o remount,ro "$root/run/media"
fi

ip link set lo up
cd "$root"
pivot_root . mnt
exec chroot . /bin/bash -eu -c '
	umount -l /mnt
	stage() {
		local began=$EPOCHREALTIME
		"$@" >>/var/log/guest.log 2>&1 || printf "stage %s: exit code %s\n" "$*" "$?"
		printf "stage %s: %s ms\n" "$*" $(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
	}
	stage /usr/lib/cloud-init/ds-identify
	stage cloud-init init --local
	stage ifup -a
	stage cloud-init init
	stage cloud-init modules --mode=config
	stage cloud-init modules --mode=final
	hostname >/var/hostname
	{ ip -4 -o addr; ip -4 -o link; ip -4 route; } >/var/network
' </dev/null
