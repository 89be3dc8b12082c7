#!/usr/bin/env bash
# Puts programs of others that tests need into the cache folder, and prints where they are. Quick when they are there.
#
# strangers.sh           the clouds' JavaScript clients (test/strangers/package.json); needs node 20 or newer, and npm
# strangers.sh browser   what drives Chromium (test/console/browser/package.json); needs the same
# strangers.sh az        Azure's command line as Debian packages it, unpacked and not installed; needs apt
#
# One folder for each version of what is wanted.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/skyweld/strangers

# need PROGRAM...: what for is the last word.
need() {
	local program
	for program in "${@:1:$#-1}"; do
		command -v "$program" >/dev/null || {
			echo "Error: $program is not installed: ${*: -1}" >&2
			exit 1
		}
	done
}

# fresh: an empty folder beside those in use, which goes with the script.
fresh() {
	mkdir -p "$cache"
	new=$(mktemp -d "$cache/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
}

# keep DIR: the fresh folder becomes DIR. Somebody else may have been quicker; theirs is as good.
keep() {
	chmod 755 "$new"
	mv -T "$new" "$1" 2>/dev/null || [[ -d $1 ]]
}

# packages FILE WHAT: the npm packages of a package.json.
packages() {
	local wanted=$1 digest
	digest=$(sha256sum "$wanted")
	dir=$cache/${digest:0:16}
	[[ ! -d $dir ]] || return 0
	need node npm "$2 need node 20 or newer, and npm"
	fresh
	cp "$wanted" "$new/"
	# No scripts of packages: these have none that they need. No lock file: it would name the registry.
	npm install --prefix "$new" --no-package-lock --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error >&2
	keep "$dir"
}

javascript() { packages test/strangers/package.json "the JavaScript clients of the lab's tests"; }

browser() { packages test/console/browser/package.json "the console's tests in a browser"; }

# The version of az that the tests know. Others lack the profile that it needs here, or want other questions answered.
az_version=2.45.0

az() {
	local found
	dir=$cache/az-$az_version
	[[ ! -d $dir ]] || return 0
	need apt-get apt-cache dpkg-deb "Azure's command line is taken from Debian's package azure-cli $az_version"
	found=$(apt-cache show azure-cli 2>/dev/null | sed -n 's/^Version: //p' | head -n 1)
	[[ $found == "$az_version"-* ]] || {
		echo "Error: apt offers ${found:-no} azure-cli, and the tests know $az_version: it is in Debian 12 ('apt-get update', where apt has no lists yet)" >&2
		exit 1
	}
	fresh
	mkdir "$new/debs" "$new/root"
	# What it needs and this machine lacks, the recommended left out: 70 packages, 19 MB, and 700 MB when unpacked.
	apt-get install --simulate --no-install-recommends azure-cli | awk '$1 == "Inst" { print $2 }' >"$new/list"
	(cd "$new/debs" && xargs apt-get download -qq <"$new/list" >&2)
	for deb in "$new"/debs/*.deb; do
		dpkg-deb -x "$deb" "$new/root"
	done
	rm -rf "$new/debs" "$new/root/usr/share"
	keep "$dir"
}

case ${1:-javascript} in
javascript | browser | az) "${1:-javascript}" ;;
*)
	echo "Usage: scripts/strangers.sh [browser|az]" >&2
	exit 2
	;;
esac
printf '%s\n' "$dir"
