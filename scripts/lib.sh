# shellcheck shell=bash
# What the scripts that need a lab and an engine have in common: both live in one folder, $base. Sourced, not run.

export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# SKYWELD names another binary than the one 'make build' makes.
SKYWELD=${SKYWELD:-$root/bin/skyweld}
cluster=demo

say() { printf '%s\n' "$*"; }
title() { printf '\n== %s\n' "$*"; }
die() {
	printf 'Error: %s\n' "$*" >&2
	exit 1
}

# need_root WHAT: the lab's machines are namespaces.
need_root() {
	[[ $(id -u) == 0 ]] || die "$1 needs root, because the lab's machines are Linux namespaces: run it with sudo"
	[[ -x $SKYWELD ]] || die "there is no $SKYWELD: run 'make build' first"
}

# use_folder DIR: where the lab, the engine and everything about them are.
# shellcheck disable=SC2034 # some are used by the scripts alone
use_folder() {
	mkdir -p "$1"
	base=$(cd "$1" && pwd)
	lab=$base/lab
	engine=$base/engine
	chmod 700 "$base"
}

# skyweld is the command line, at this folder's engine; labctl the lab's part of it.
skyweld() { "$SKYWELD" --dir "$engine" "$@"; }
labctl() { "$SKYWELD" lab "$1" --dir "$lab" "${@:2}"; }

# bundle_dir is where 'make bundle' put its newest work.
bundle_dir() {
	local dir
	dir=$(readlink -f "${XDG_CACHE_HOME:-$HOME/.cache}/skyweld/bundle/latest") || true
	[[ -f $dir/manifest.json ]] || die "there are no node programs yet: run 'make bundle' first"
	printf '%s\n' "$dir"
}

# fields NAME...: these fields of the one object on standard input, as skyweld writes it with -o json, by tabs.
fields() { json_fields '' "$@"; }

# items NAME...: the same of every item of a list, a line for each.
items() { json_fields '    ' "$@"; }

json_fields() {
	awk -v indent="$1" -v want="${*:2}" '
		BEGIN { n = split(want, names, " ") }
		$0 == indent "{" { split("", got) }
		$0 == indent "}" || $0 == indent "}," {
			for (i = 1; i <= n; i++) printf "%s%s", got[names[i]] == "" ? "-" : got[names[i]], i < n ? "\t" : "\n"
		}
		index($0, indent "  \"") == 1 {
			at = index($0, ": ")
			key = substr($0, length(indent) + 4, at - length(indent) - 5)
			value = substr($0, at + 2)
			sub(/,$/, "", value)
			if (value ~ /^"/) value = substr(value, 2, length(value) - 2)
			got[key] = value
		}'
}

# start_lab PROFILE: starts the lab unless it runs, and points this shell at it.
start_lab() {
	labctl start --detach --profile "$1"
	eval "$(labctl env)"
}

# lab_processes NAME: the numbers of all processes of this folder's lab, which has that name: its own, the keepers of its
# machines, and everything in the machines' control groups.
lab_processes() {
	local pid
	{
		pid=$(labctl status -o json 2>/dev/null | fields pid) || pid=0
		if [[ $pid =~ ^[1-9] ]]; then
			printf '%s\n' "$pid"
			pgrep -P "$pid" || true
		fi
		find /sys/fs/cgroup -path "*/skyweld-$1/*" -name cgroup.procs -exec cat {} + 2>/dev/null || true
	} | sort -nu
}

# engine_pid prints the process of this folder's engine; it fails when none runs.
engine_pid() {
	local pid
	pid=$(cat "$base/engine.pid" 2>/dev/null) && [[ -r /proc/$pid/cmdline ]] || return 1
	[[ $(tr '\0' ' ' <"/proc/$pid/cmdline") == *" --dir $engine serve "* ]] || return 1
	printf '%s\n' "$pid"
}

# shellcheck disable=SC2120 # flags are for some
# start_engine FLAG...: starts the engine unless it runs, and waits until it answers.
start_engine() {
	local pid i
	if pid=$(engine_pid); then
		say "the engine runs already (process $pid)"
		return
	fi
	setsid "$SKYWELD" --dir "$engine" serve --listen 127.0.0.1:0 "$@" >>"$base/engine.log" 2>&1 </dev/null &
	pid=$!
	printf '%s\n' "$pid" >"$base/engine.pid"
	for ((i = 0; i < 300; i++)); do
		if skyweld account list >/dev/null 2>&1; then
			say "the engine is ready (process $pid, log $base/engine.log)"
			return
		fi
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.2
	done
	tail -n 5 "$base/engine.log" >&2
	die "the engine did not start; its log is $base/engine.log"
}

# stop_engine ends the engine; it fails when that takes longer than half a minute.
stop_engine() {
	local pid i
	pid=$(engine_pid) || return 0
	kill "$pid"
	for ((i = 0; i < 150; i++)); do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.2
	done
	return 1
}

all_clouds="aws gcp azure digitalocean"

# choose_clouds NAMES: the clouds of the demo's cluster, in order, into the array clouds.
choose_clouds() {
	local c seen=' '
	read -ra clouds <<<"$1"
	for c in "${clouds[@]}"; do
		[[ " $all_clouds " == *" $c "* ]] || die "DEMO_CLOUDS: found \"$c\": want one or more of $all_clouds, like DEMO_CLOUDS=\"aws gcp\""
		[[ $seen != *" $c "* ]] || die "DEMO_CLOUDS: \"$c\" is there twice"
		seen+="$c "
	done
	((${#clouds[@]} > 0)) || die "DEMO_CLOUDS names no cloud: want one or more of $all_clouds"
}

# add_accounts adds the account my-CLOUD of each cloud with what 'lab env' exports, unless it is there.
add_accounts() {
	local c known
	known=$(skyweld account list -o json | items name)
	for c in "${clouds[@]}"; do
		grep -qx "my-$c" <<<"$known" || skyweld account add "$c" "my-$c" --from-env
	done
}

# cluster_file [WORKERS]: prints the demo's cluster: three control-plane nodes dealt to the clouds in turn, and a worker,
# or so many, in each.
cluster_file() {
	local c i groups=(web api jobs batch)
	cat <<-END
		apiVersion: skyweld.dev/v1alpha1
		kind: Cluster
		metadata: {name: $cluster}
		spec:
		  metro: us-east
		  sites:
	END
	for c in "${clouds[@]}"; do
		printf '    - {name: %s, account: my-%s}\n' "$c" "$c"
	done
	cat <<-END
		  controlPlane: {replicas: 3, size: small}
		  workers:
	END
	for i in "${!clouds[@]}"; do
		printf '    - {name: %s, site: %s, size: small, count: %d}\n' "${groups[i]}" "${clouds[i]}" "${1:-1}"
	done
}

# creation_runs prints, in JSON, the runs that made the cluster: all up to the first that did steps and succeeded.
creation_runs() {
	local id outcome total
	while read -r id outcome total; do
		skyweld get runs "$cluster" "$id" -o json
		[[ $outcome != succeeded || $total == 0 ]] || break
	done < <(skyweld get runs "$cluster" -o json | items id outcome total | sort -n)
}

# shellcheck disable=SC2120 # so is 'raw'
# phases prints the cluster's creation by phase; with 'raw' as names and seconds since its start, by tabs.
phases() { creation_runs | awk -v raw="${1:-}" -f "$root/scripts/phases.awk"; }
