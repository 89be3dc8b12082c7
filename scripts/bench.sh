#!/usr/bin/env bash
# Figures of whole clusters: how long creation takes beside bare kubeadm (create), how far the clouds' slowness overlaps
# (overlap), what a running demo needs (memory).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# What the figures are measured against.
most_seconds=150 most_ratio=1.5 most_overlap=1.2 most_engine=60 most_engine_peak=100 most_lab=7168

create() {
	need_root "make bench-create"
	bundle_dir >/dev/null
	own_lab fast
	local took bare_init bare_join
	timed_apply "Skyweld: apply --wait"
	phases

	title "Bare kubeadm on the same machines"
	bare
	report "$took" "$bare_init" "$bare_join"
}

# own_lab PROFILE: a lab and an engine in a folder of their own, which go with this script.
own_lab() {
	choose_clouds "$all_clouds"
	use_folder "$(mktemp -d "${BENCH_TMP:-/var/tmp}/skyweld-bench.XXXXXX")"
	trap clean EXIT
	trap 'exit 1' INT TERM
	title "A lab of its own, profile $1, in $base"
	start_lab "$1"
	start_engine --reconcile-every 24h # nothing may come in between
	add_accounts
	cluster_file >"$base/cluster.yaml"
}

# timed_apply TITLE: makes the cluster of the file, and sets took.
timed_apply() {
	local begin failed=0
	title "$1"
	begin=$EPOCHREALTIME
	until skyweld apply -f "$base/cluster.yaml" --wait; do
		((++failed < 3)) || die "the cluster does not come about"
		say "that run failed; the engine goes on where it stood, and the figures have it in them"
	done
	took=$(since "$begin")
}

# overlap makes the cluster over all clouds with operations as slow as the clouds', then one of as many machines at the
# slowest of them alone: where the clouds' work overlaps, the first takes little longer.
overlap() {
	need_root "make bench-create"
	bundle_dir >/dev/null
	own_lab real
	local took all slowest path machines alone_machines
	timed_apply "All four clouds, as slow as they are: apply --wait"
	all=$took
	phases
	path=$(creation_runs | critical_path)
	say "critical path: $path"
	read -r slowest machines < <(creation_runs | site_times | sort -k2,2nr)
	title "What each cloud took for its own"
	creation_runs | site_times | sort -k2,2n | awk '{ printf "%-14s %6.1f s\n", $1, $2 }'

	title "The slowest alone: seven machines at $slowest"
	skyweld delete "$cluster" --wait >"$base/delete.log"
	choose_clouds "$slowest"
	cluster_file 4 >"$base/cluster.yaml"
	timed_apply "Only $slowest: apply --wait"
	phases
	say "critical path: $(creation_runs | critical_path)"
	read -r _ alone_machines < <(creation_runs | site_times)

	title "Four clouds beside $slowest alone, seven nodes each"
	awk -v all="$all" -v alone="$took" -v m="$machines" -v am="$alone_machines" -v most="$most_overlap" 'BEGIN {
		printf "%-42s %9s %9s %6s\n", "seconds", "four", "alone", "ratio"
		printf "%-42s %9.1f %9.1f %6.2f\n", "until all is made in the clouds", m, am, m / am
		printf "%-42s %9.1f %9.1f %6.2f, at most %.2f wanted: %s\n", "total", all, alone, all / alone, most, all / alone <= most ? "ok" : "OVER"
	}'
}

# site_times: each site of the runs on standard input, and the seconds from their start until all it has in its cloud is
# made, machines with their addresses: what is done on nodes isn't the cloud's.
site_times() { awk -v what=sites -f "$root/scripts/phases.awk"; }

# critical_path: the steps that the runs took as long as they did for, in a line.
critical_path() { awk -v what=path -f "$root/scripts/phases.awk"; }

clean() {
	local pid
	for pid in "${sessions[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	stop_engine || say "the engine of $base does not end" >&2
	if [[ -s $lab/lab.json ]] && ! labctl stop --purge; then
		say "the lab in $lab does not stop" >&2
		return
	fi
	rm -rf "$base"
}

since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# A session is a shell on a node that stays open, so that connecting is not measured.
sessions=()
declare -A to from

# connect NODE
connect() {
	local in=$base/$1.in out=$base/$1.out fd
	mkfifo "$in" "$out"
	"$SKYWELD" --dir "$engine" ssh "$1" -- sh <"$in" >"$out" 2>&1 &
	sessions+=("$!")
	exec {fd}>"$in"
	to[$1]=$fd
	exec {fd}<"$out"
	from[$1]=$fd
	# shellcheck disable=SC2016 # the node expands it
	tell "$1" 'export PATH=/opt/skyweld/bin:$PATH HOME=/root'
	await "$1"
}

# tell NODE COMMANDS starts them there; await NODE waits for their end and fails as they do.
tell() { printf '%s\necho "=== $?"\n' "$2" >&"${to[$1]}"; }
await() {
	local text
	while read -r text <&"${from[$1]}"; do
		case $text in
		"=== 0") return ;;
		"=== "*) break ;;
		esac
		printf '%s\n' "$text" >>"$base/$1.log"
	done
	tail -n 20 "$base/$1.log" >&2
	die "that did not work on $1"
}

# bare takes Kubernetes off the machines again, leaving tunnel and node programs, and puts it back with nothing but kubeadm
# and the same settings. It sets bare_init and bare_join.
bare() {
	local node role address first='' others=() workers=() begin
	declare -A addresses
	while read -r role node address; do
		addresses[$node]=$address
		if [[ $role != control-plane ]]; then
			workers+=("$node")
		elif [[ -z $first ]]; then
			first=$node
		else
			others+=("$node")
		fi
	done < <(skyweld get nodes "$cluster" -o json | items role name address | sort -k2)
	for node in "${!addresses[@]}"; do
		connect "$node"
	done

	say "resetting ${#addresses[@]} nodes"
	tell "$first" "$take_settings"
	await "$first"
	for node in "${!addresses[@]}"; do tell "$node" "$reset"; done
	for node in "${!addresses[@]}"; do await "$node"; done
	bare_configs "$first"

	say "kubeadm init on $first, then join on ${others[*]}, one after another, and on ${workers[*]}, all at once"
	begin=$EPOCHREALTIME
	tell "$first" "cat /run/bare/init.yaml >/run/bare/kubeadm.yaml; kubeadm init --config /run/bare/kubeadm.yaml --upload-certs $ignore"
	await "$first"
	bare_init=$(since "$begin")
	begin=$EPOCHREALTIME
	for node in "${workers[@]}"; do
		tell "$node" "kubeadm join --config /run/bare/kubeadm.yaml $ignore"
	done
	for node in "${others[@]}"; do
		tell "$node" "kubeadm join --config /run/bare/kubeadm.yaml $ignore"
		await "$node"
	done
	for node in "${workers[@]}"; do await "$node"; done
	tell "$first" "kubectl --kubeconfig /etc/kubernetes/admin.conf wait node --all --for condition=Ready --timeout 300s"
	await "$first"
	bare_join=$(since "$begin")
}

ignore='--ignore-preflight-errors SystemVerification </dev/null'

# What follows is for the nodes' own shells.
# shellcheck disable=SC2016
# take_settings keeps what kubeadm was told about the cluster.
take_settings='mkdir -p /run/bare
(
	set -e
	get() { kubectl --kubeconfig /etc/kubernetes/admin.conf --namespace kube-system get configmap "$1" -o "jsonpath={.data.$2}"; }
	get kubeadm-config ClusterConfiguration >/run/bare/cluster.yaml
	get kubelet-config kubelet >/run/bare/kubelet.yaml
	get kube-proxy "config\.conf" >/run/bare/proxy.yaml
)'

# shellcheck disable=SC2016
# reset leaves a machine as it was before it became a node. The kubelet is a service of the machine by the conventions of
# runit; the pod network and the settings of the API server are no work of kubeadm, which takes them away.
reset='(
	set -e
	mkdir -p /run/bare /etc/kubernetes/skyweld
	cp -a /etc/cni/net.d /run/bare/cni
	cp -a /etc/kubernetes/skyweld /run/bare/skyweld
	pid=$(cat /etc/service/kubelet/supervise/pid)
	printf d >/etc/service/kubelet/supervise/control
	while kill -0 "$pid"; do sleep 0.1; done
	kubeadm reset --force --skip-phases remove-etcd-member --cri-socket unix:///run/containerd/containerd.sock </dev/null
	rm -rf /var/lib/etcd /var/log/pods /var/log/containers /var/lib/cni
	mkdir -p /etc/cni/net.d /etc/kubernetes/skyweld
	cp -a /run/bare/cni/. /etc/cni/net.d/
	cp -a /run/bare/skyweld/. /etc/kubernetes/skyweld/
	printf u >/etc/service/kubelet/supervise/control
)'

# bare_configs FIRST writes kubeadm's config files onto the machines.
bare_configs() {
	local token key node part
	token=$(tr -dc 'a-z0-9' </dev/urandom | head -c 22 || true)
	token=${token:0:6}.${token:6:16}
	key=$(tr -dc '0-9a-f' </dev/urandom | head -c 64 || true)
	tell "$1" "cat >/run/bare/init.yaml <<'END'
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens: [{token: $token, groups: ['system:bootstrappers:kubeadm:default-node-token']}]
certificateKey: $key
localAPIEndpoint: {advertiseAddress: ${addresses[$1]}, bindPort: 6443}
nodeRegistration: {name: $1, criSocket: 'unix:///run/containerd/containerd.sock', imagePullPolicy: IfNotPresent}
END
for part in cluster kubelet proxy; do echo ---; cat /run/bare/\$part.yaml; done >>/run/bare/init.yaml"
	await "$1"
	for node in "${others[@]}" "${workers[@]}"; do
		part=''
		if [[ " ${others[*]} " == *" $node "* ]]; then
			part="controlPlane: {certificateKey: $key, localAPIEndpoint: {advertiseAddress: ${addresses[$node]}, bindPort: 6443}}"
		fi
		tell "$node" "cat >/run/bare/kubeadm.yaml <<'END'
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery: {bootstrapToken: {token: $token, apiServerEndpoint: 'api.$cluster.skyweld.internal:6444', unsafeSkipCAVerification: true}}
nodeRegistration: {name: $node, criSocket: 'unix:///run/containerd/containerd.sock', imagePullPolicy: IfNotPresent}
$part
END"
		await "$node"
	done
}

# report SKYWELD INIT JOIN: both beside each other.
report() {
	title "Seven nodes, from nothing to all Ready"
	phases raw | awk -F '\t' -v took="$1" -v init="$2" -v join="$3" -v most="$most_seconds" -v ratio="$most_ratio" '
		{ from[$1] = $2; to[$1] = $3 }
		function line(what, ours, theirs, note) { printf "%-42s %9s %9s  %s\n", what, ours, theirs, note }
		function s(x) { return sprintf("%.1f", x) }
		END {
			machines = to["machines"] - from["machines"]
			ready = to["prepare and configure"] # where kubeadm did not wait for all nodes, the time until it began
			if (ready > from["kubeadm init"]) ready = from["kubeadm init"]
			programs = ready - to["machines"]
			line("seconds", "skyweld", "bare", "")
			line("networks, firewalls, addresses", s(to["network"]), "-", "overlaps with the machines")
			line("machines start", s(machines), s(machines), "taken over from skyweld")
			line("node programs installed, nodes configured", s(programs), s(programs), "taken over from skyweld")
			line("kubeadm init", s(to["kubeadm init"] - from["kubeadm init"]), s(init), "skyweld: until that node is Ready")
			line("kubeadm join, until all are Ready", s(to["kubeadm join"] - from["kubeadm join"]), s(join), "")
			bare = machines + programs + init + join
			line("total", s(took), s(bare), "skyweld: as apply --wait took, waiting included")
			printf "\napply --wait: %.1f s, at most %d wanted: %s\n", took, most, took <= most ? "ok" : "OVER"
			printf "ratio: %.2f, at most %.2f wanted: %s\n", took / bare, ratio, took / bare <= ratio ? "ok" : "OVER"
			ours = to["kubeadm join"] - from["kubeadm init"]
			printf "kubeadm alone: %.1f s by skyweld, %.1f s bare, ratio %.2f\n", ours, init + join, ours / (init + join)
		}'
}

memory() {
	local folder=${DEMO_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/skyweld-demo} pid name nodes over=0
	if [[ ! -d $folder ]] || ! use_folder "$folder" || ! pid=$(engine_pid); then
		say "memory: no demo runs in $folder; run 'make demo' first, then 'make bench' again"
		return
	fi
	[[ $(id -u) == 0 ]] || die "reading the memory of the lab's machines needs root: run it with sudo"
	name=$(labctl status -o json | fields name)
	nodes=$(skyweld get nodes "$cluster" -o json | items name | wc -l)
	figure "engine with one cluster, resident" "$(status_of "$pid" VmRSS)" "$most_engine" || over=1
	figure "engine, resident at its highest" "$(status_of "$pid" VmHWM)" "$most_engine_peak" || over=1
	figure "lab with $nodes nodes, proportional share" "$(lab_processes "$name" | pss)" "$most_lab" || over=1
	return "$over"
}

# figure WHAT KIB LIMIT_MIB
figure() {
	awk -v what="$1" -v kib="$2" -v most="$3" 'BEGIN {
		printf "%-42s %8.1f MiB, at most %d wanted: %s\n", what, kib / 1024, most, kib / 1024 <= most ? "ok" : "OVER"
		exit kib / 1024 > most
	}'
}

status_of() { awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"; }

# pss sums the proportional set sizes of the processes whose numbers are on standard input, in KiB.
pss() {
	local pid
	while read -r pid; do
		cat "/proc/$pid/smaps_rollup" 2>/dev/null || true # it may have ended
	done | awk '$1 == "Pss:" { sum += $2 } END { print sum + 0 }'
}

case ${1:-} in
create) create ;;
overlap) overlap ;;
memory) memory ;;
*)
	say "Usage: scripts/bench.sh create|overlap|memory" >&2
	exit 2
	;;
esac
