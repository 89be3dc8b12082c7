#!/usr/bin/env bash
# A stock Debian machine for the tests: its tree, and from that the image that qemu boots. Both lie in the cache folder
# (stock/<hash>, with a link 'latest'), are made once for a list of packages, and appear whole or not at all.
#
#   stock.sh tree     a Debian 12 as its own packages install it; prints the tree's path
#   stock.sh image    disk.ext4, vmlinuz and initrd.img beside the tree; prints their folder
#   stock.sh test     installs what the tests in test/stock need, makes the image and runs them; what they leave when they
#                     are killed is removed
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SKYWELD=${SKYWELD:-$root/bin/skyweld}

suite=bookworm
# What a cloud's Debian has too: init, kernel, cloud-init, sshd, and the tools of ordinary nodes.
packages=(
	ca-certificates cloud-init conntrack dbus ethtool ifupdown init iproute2 iptables iputils-ping isc-dhcp-client kmod
	linux-image-cloud-amd64 netbase nftables openssh-server procps python3 socat sudo systemd systemd-sysv udev
	wireguard-tools zstd
)
# disk_size is the size of the machine's disk; its file is sparse.
disk_size=4G

say() { printf '%s\n' "$*" >&2; }
die() {
	printf 'Error: %s\n' "$*" >&2
	exit 1
}

# need PROGRAM PACKAGE
need() { command -v "$1" >/dev/null || die "there is no $1 here: apt-get install $2"; }

# sources prints the machine's own apt sources of Debian's suites, as lines for apt.
sources() {
	apt-get indextargets --format "\$(ORIGIN) \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' |
		awk -v suite="$suite" '$1 == "Debian" && ($3 == suite || index($3, suite "-") == 1) {
			key = $2 " " $3
			if (!(key in parts)) order[++n] = key
			parts[key] = parts[key] " " $4
		}
		END { for (i = 1; i <= n; i++) print "deb " order[i] parts[order[i]] }'
}

# folder is where this list of packages and this script's tree lie; what the script does to a tree is in the hash too.
folder() {
	local hash
	hash=$({
		printf '%s\n' "$suite" "${packages[@]}"
		declare -f build_tree settle build_image
		printf '%s\n' "$disk_size"
	} | sha256sum | cut -c1-16)
	printf '%s/skyweld/stock/%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}" "$hash"
}

# settle ROOT: what an image's maker would have set. No keys and no identity: the first boot makes them.
settle() {
	cat >"$1/etc/cloud/cloud.cfg.d/95_image.cfg" <<-END
		locale: C.UTF-8
		manage_etc_hosts: true
	END
	printf 'LANG=C.UTF-8\n' >"$1/etc/default/locale"
	: >"$1/etc/machine-id"
	: >"$1/etc/resolv.conf"
	rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/hostname"
	rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*
}

build_tree() {
	local into=$1 lines
	lines=$(sources)
	if [[ -z $lines ]]; then
		apt-get update -qq
		lines=$(sources)
	fi
	[[ -n $lines ]] || die "this machine's apt sources have no Debian $suite: the stock machine is made from them"
	say "building Debian $suite from this machine's apt sources; this takes a minute or two"
	mmdebstrap --quiet --mode=root --variant=minbase \
		--include="$(IFS=,; printf '%s' "${packages[*]}")" \
		--aptopt='Acquire::Check-Valid-Until "false"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		"$suite" "$into" - <<<"$lines"
	settle "$into"
}

# once DIR PATH BUILD: unless DIR/PATH is there, BUILD makes it in a folder beside and it is moved into place.
once() {
	local dir=$1 path=$2 build=$3
	mkdir -p "$dir"
	exec 9>"$dir/.lock"
	flock 9
	[[ ! -e $dir/$path ]] || return 0
	rm -rf "$dir/.new"
	mkdir "$dir/.new"
	trap 'rm -rf "'"$dir"'/.new"' EXIT
	"$build" "$dir/.new/$path"
	mv "$dir/.new/$path" "$dir/$path"
	rm -rf "$dir/.new"
	trap - EXIT
	exec 9>&-
}

tree() {
	[[ $(id -u) == 0 ]] || die "a Debian tree has files of several users, and making it needs root: run it with sudo"
	need mmdebstrap mmdebstrap
	local dir
	dir=$(folder)
	once "$dir" tree build_tree
	ln -sfn "${dir##*/}" "${dir%/*}/.latest.$$"
	mv -T "${dir%/*}/.latest.$$" "${dir%/*}/latest"
	printf '%s\n' "$dir/tree"
}

build_image() {
	local into=$1 tree
	tree=$(folder)/tree
	mkdir "$into"
	cp "$tree"/boot/vmlinuz-* "$into/vmlinuz"
	cp "$tree"/boot/initrd.img-* "$into/initrd.img"
	truncate -s "$disk_size" "$into/disk.ext4"
	mkfs.ext4 -q -F -L root -d "$tree" "$into/disk.ext4"
}

image() {
	need mkfs.ext4 e2fsprogs
	tree >/dev/null
	local dir
	dir=$(folder)
	once "$dir" image build_image
	printf '%s\n' "$dir/image"
}

# install gets the packages that the tests need on this machine, if it can.
install() {
	local p missing=()
	while read -r p; do
		dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
	done <"$root/test/stock/packages.txt"
	((${#missing[@]})) || return 0
	say "installing: ${missing[*]}"
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# prepare gets what the tests need; without it they skip, and say of what.
prepare() {
	if ! install; then
		say "SKIPPED: the stock machine: apt-get install $(tr '\n' ' ' <"$root/test/stock/packages.txt")did not work"
	elif ! "$root/scripts/stock.sh" image >/dev/null; then
		say "SKIPPED: the stock machine: its image could not be made"
	fi
}

# clean removes what tests leave that were killed: qemu ends with them, the lab's things are on record.
clean() {
	local lab
	[[ -z $pid ]] || kill -KILL "$pid" 2>/dev/null || true
	for lab in "$dir"/*/lab; do
		[[ ! -e $lab/lab.json ]] || "$SKYWELD" lab stop --purge --dir "$lab" >&2 || true
	done
	rm -rf "$dir"
}

run_tests() {
	[[ $(id -u) == 0 ]] || die "the stock machine hangs on a lab's wires, which are Linux namespaces: run it with sudo"
	[[ -x $SKYWELD ]] || die "there is no $SKYWELD: run 'make build' first"
	prepare
	dir=$(mktemp -d /var/tmp/skyweld-stock-XXXXXX) pid=''
	trap clean EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	(cd "$root" && go test -c -tags grpcnotrace -o "$dir/stock.test" ./test/stock)
	cd "$root/test/stock"
	SKYWELD_STOCK_DIR=$dir "$dir/stock.test" -test.v -test.timeout 40m &
	pid=$!
	wait "$pid" || die "the tests of the stock machine failed"
	pid=''
}

case "${1:-}" in
tree) tree ;;
image) image ;;
test) run_tests ;;
*) die "usage: stock.sh tree|image|test" ;;
esac
