# shellcheck shell=bash
# shellcheck disable=SC2154 # base and lab come from lib.sh
# What a lab could leave on its host, and how the host was before it. Sourced by the demo, not run.

ok() { printf 'ok     %s\n' "$*"; }
found() {
	printf 'LEFT   %s\n' "$*"
	left=$((left + 1))
}

# Kernel settings that are figures or change by themselves.
restless='^(fs\.(aio-nr|quota\.|dentry-state|file-nr|inode-nr|inode-state)|kernel\.(ns_last_pid|random\.|pty\.nr|tainted|perf_event_max_sample_rate|perf_cpu_time_max_percent)|net\.netfilter\.nf_conntrack_count|net\.core\.netdev_rss_key|net\.ipv4\.tcp_(fastopen_key|available_)|net\.mptcp\.available_)'

settings_now() { sysctl -a 2>/dev/null | grep -E '^(fs|kernel|net|vm)\.' | grep -Ev "$restless" || true; }
links_now() { ip -br link | awk '{ print $1, $3 }'; }
routes_now() { ip rule && ip -6 rule && ip -4 route; }
rules_now() {
	nft -s list ruleset
	! command -v iptables-legacy-save >/dev/null || iptables-legacy-save | sed '/^#/d; s/\[[0-9:]*\]//'
}

# host_before DIR keeps the host's state of before the lab; what is there from this boot stays.
host_before() {
	local boot
	boot=$(</proc/sys/kernel/random/boot_id)
	[[ $(cat "$1/boot" 2>/dev/null) != "$boot" ]] || return 0
	mkdir -p "$1"
	settings_now >"$1/settings"
	links_now >"$1/links"
	routes_now >"$1/routes"
	rules_now >"$1/rules"
	printf '%s\n' "$boot" >"$1/boot"
}

# mounts_below DIR: mount points at and below it, as this process sees them.
mounts_below() { awk -v dir="$1" '$2 == dir || index($2, dir "/") == 1 { print $2 }' /proc/self/mounts; }

# with_start gives each process number on standard input the process's start time and name: numbers are used again. Those
# that have ended and that their parent has not asked about are no processes any more.
with_start() {
	local pid stat
	while read -r pid; do
		stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
		awk -v pid="$pid" -v name="$stat" 'BEGIN { sub(/[^(]*[(]/, "", name); sub(/[)].*/, "", name) } $1 != "Z" { print pid, $20, name }' <<<"${stat##*) }"
	done
}

# processes_of DIR LIST: those of the list (as with_start writes it) that are still there, and those of the program itself
# that were told the folder.
processes_of() {
	local p
	sort -u "$2" 2>/dev/null | while read -r p _; do printf '%s\n' "$p"; done | with_start | grep -Fxf "$2" || true
	while read -r p; do
		if cat "${p%/exe}/cmdline" "${p%/exe}/environ" 2>/dev/null | tr '\0' ' ' | grep -qF "$1/"; then
			p=${p#/proc/}
			printf '%s\n' "${p%/exe}" | with_start
		fi
	done < <(find /proc/[0-9]*/exe -maxdepth 0 -lname '*/skyweld*' 2>/dev/null)
}

# expect_none WHAT LIST: the list is empty.
expect_none() {
	if [[ -z $2 ]]; then
		ok "no $1"
	else
		found "$1: ${2//$'\n'/, }"
	fi
}

# expect_same WHAT BEFORE NOW: the two texts are the same.
expect_same() {
	if [[ ! -e $2 ]]; then
		say "--     $1: not known how it was before"
	elif diff -u "$2" <(printf '%s' "${3:+$3$'\n'}"); then
		ok "$1: as before"
	else
		found "$1: see the difference above"
	fi
}

# processes_left DIR LIST: processes_of, once what is ending has had some seconds for it.
processes_left() {
	local list i
	for ((i = 0; i < 10; i++)); do
		list=$(processes_of "$1" "$2")
		[[ -n $list ]] || return 0
		sleep 0.5
	done
	printf '%s\n' "$list"
}

# settings_changed BEFORE: settings that have another value now. Settings that weren't there before came with a kernel
# module, and those of links that come and go are the links' matter.
settings_changed() {
	settings_now | awk '
		{ at = index($0, " = "); key = substr($0, 1, at - 1); value = substr($0, at + 3) "; " } # some settings have several lines
		NR == FNR { before[key] = before[key] value; next }
		{ now[key] = now[key] value }
		END { for (key in now) if (key in before && before[key] != now[key]) print key ": " before[key] "now " now[key] }' "$1" -
}

# nothing_left says of everything that a lab makes whether it is gone.
nothing_left() {
	local name was=$base/before
	name=$(cat "$base/lab-name" 2>/dev/null) || name=
	touch "$base/lab-processes"
	if [[ -n $name ]]; then
		expect_none "network namespace of the lab ($name-*)" "$(find /run/netns -maxdepth 1 -name "$name-*" 2>/dev/null)"
		expect_none "control group of the lab (skyweld-$name)" "$(find /sys/fs/cgroup -maxdepth 6 -type d -name "skyweld-$name" 2>/dev/null)"
	fi
	expect_none "process of the lab, its machines or the engine" "$(processes_left "$base" "$base/lab-processes")"
	expect_none "mount below $base" "$(mounts_below "$base")"
	expect_none "folder of the lab" "$([[ ! -e $lab ]] || printf '%s' "$lab")"
	if [[ -e $was/settings ]]; then
		expect_none "kernel setting that differs ($(wc -l <"$was/settings") compared)" "$(settings_changed "$was/settings")"
	fi
	expect_same "network links" "$was/links" "$(links_now)"
	expect_same "routing rules and routes" "$was/routes" "$(routes_now)"
	expect_same "packet filter" "$was/rules" "$(rules_now)"
}
