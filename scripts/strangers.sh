#!/usr/bin/env bash
# Installs the JavaScript clients that judge the lab (test/strangers/package.json) into the cache folder, and prints where
# they are. One folder for each version of that file; quick when it is there. Needs node 20 or newer, and npm.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=test/strangers/package.json
digest=$(sha256sum "$wanted")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/skyweld/strangers
dir=$cache/${digest:0:16}

if [[ ! -d $dir ]]; then
	for program in node npm; do
		command -v "$program" >/dev/null || {
			echo "Error: $program is not installed: the JavaScript clients of the lab's tests need node 20 or newer, and npm" >&2
			exit 1
		}
	done
	mkdir -p "$cache"
	new=$(mktemp -d "$cache/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	cp "$wanted" "$new/"
	# No scripts of packages: these have none that they need. No lock file: it would name the registry.
	npm install --prefix "$new" --no-package-lock --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error >&2
	chmod 755 "$new"
	# Somebody else may have been quicker; theirs is as good.
	mv -T "$new" "$dir" 2>/dev/null || [[ -d $dir ]]
fi
printf '%s\n' "$dir"
