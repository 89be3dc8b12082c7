#!/usr/bin/env bash
# A cluster across the clouds of a lab on this machine (up), and back to nothing (down). Both can be run again at any point.
#
# DEMO_DIR      folder of it all (default: skyweld-demo in the user's state folder)
# DEMO_CLOUDS   "aws gcp azure digitalocean" (default) or some of these
# DEMO_PROFILE  how slow the lab's clouds are: instant, fast (default) or real
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$(dirname "${BASH_SOURCE[0]}")/traces.sh"

# What 'up' notes in the folder: $base/before holds the host's state and the accounts' inventories before the first apply.
before() { printf '%s/before/%s\n' "$base" "$1"; }

up() {
	need_root "make demo"
	choose_clouds "${DEMO_CLOUDS:-$all_clouds}"
	local bundle plan failed=0
	bundle=$(bundle_dir)

	title "The lab and the engine"
	use_folder "$folder"
	host_before "$base/before"
	start_lab "${DEMO_PROFILE:-fast}"
	labctl status -o json | fields name >"$base/lab-name"
	start_engine
	add_accounts
	inventories_before

	title "The cluster"
	cluster_file >"$base/cluster.yaml"
	say "$base/cluster.yaml:"
	cat "$base/cluster.yaml"
	plan=$(skyweld plan -f "$base/cluster.yaml")
	printf '\nplan: %s\n' "${plan##*$'\n'}"
	skyweld apply -f "$base/cluster.yaml" --wait
	(umask 077 && skyweld kubeconfig "$cluster" >"$base/kubeconfig.new" && mv "$base/kubeconfig.new" "$base/kubeconfig")
	find_kubectl "$bundle"

	title "Nodes: kubectl get nodes -o wide -L topology.kubernetes.io/region"
	kube get nodes -o wide -L topology.kubernetes.io/region

	title "Pods to pods, each by the other's own address"
	trap 'remove_check_pods' EXIT
	if ! start_check_pods "$bundle" || ! check_pods; then
		failed=1
	fi
	remove_check_pods
	trap - EXIT

	title "Round trips between nodes, through the tunnel: skyweld latency $cluster --now"
	skyweld latency "$cluster" --now

	title "The creation by phase"
	[[ -s $base/phases ]] || phases >"$base/phases"
	cat "$base/phases"

	next_commands
	console_link
	[[ $failed == 0 ]] || die "pods did not reach each other as they should: see above"
}

# inventories_before keeps what the accounts held before there was a cluster.
inventories_before() {
	local c
	for c in "${clouds[@]}"; do
		[[ ! -s $(before "inventory-my-$c.json") ]] || continue
		skyweld inventory "my-$c" -o json >"$base/inventory.new"
		mv "$base/inventory.new" "$(before "inventory-my-$c.json")"
	done
}

# find_kubectl takes the kubectl of the path, else the one among the node programs.
find_kubectl() {
	kubectl=$(command -v kubectl) && return
	mkdir -p "$base/bin"
	ln -sfn "$1/hyperkube" "$base/bin/kubectl"
	kubectl=$base/bin/kubectl
}

kube() { "$kubectl" --kubeconfig "$base/kubeconfig" --request-timeout 60s "$@"; }

# start_check_pods starts a pod on one node of every site, on workers where there are any, and on a second node of the
# first site that has one.
start_check_pods() {
	local image nodes site name n=0 second=''
	image=$(grep -o 'registry.k8s.io/e2e-test-images/agnhost:[^"]*' "$1/manifest.json") || die "the node programs hold no agnhost image"
	nodes=$(skyweld get nodes "$cluster" -o json | items role site name | sort -k1,1r -k3,3) # workers first
	pods=()
	for site in "${clouds[@]}"; do
		n=0
		while read -r name; do
			((n == 0)) || [[ -z $second ]] || break
			((n == 0)) || second=$name
			pods+=("$site/$name")
			((++n < 2)) || break
		done < <(awk -v site="$site" '$2 == site { print $3 }' <<<"$nodes")
	done
	{
		printf 'apiVersion: v1\nkind: Service\nmetadata: {name: skyweld-check, labels: {app: skyweld-check}}\n'
		printf 'spec: {selector: {app: skyweld-check}, ports: [{port: 80, targetPort: 8080}]}\n'
		for name in "${pods[@]#*/}"; do
			cat <<-END
				---
				apiVersion: v1
				kind: Pod
				metadata: {name: check-$name, labels: {app: skyweld-check}}
				spec:
				  nodeName: $name
				  tolerations: [{operator: Exists}]
				  terminationGracePeriodSeconds: 1
				  containers: [{name: agnhost, image: "$image", args: [netexec, --http-port=8080]}]
			END
		done
	} | kube apply -f - >/dev/null
	kube wait pod -l app=skyweld-check --for condition=Ready --timeout 180s --request-timeout 200s >/dev/null
}

# fetch POD URL: what the pod gets from there.
fetch() { kube exec "check-$1" -- curl -sS --retry 5 --retry-connrefused --retry-delay 1 --max-time 5 "$2" 2>&1; }

# check_pods lets every pod ask every other what address it is seen with, and the service by its name.
check_pods() {
	local a b from to seen result=0
	declare -A ip
	while read -r a b; do ip[$a]=$b; done < <(kube get pods -l app=skyweld-check -o jsonpath='{range .items[*]}{.spec.nodeName} {.status.podIP}{"\n"}{end}')
	for a in "${pods[@]}"; do
		from=${a#*/}
		for b in "${pods[@]}"; do
			[[ $a != "$b" ]] || continue
			to=${b#*/}
			seen=$(fetch "$from" "http://${ip[$to]}:8080/clientip") || true
			verdict "${seen%:*}" "${ip[$from]}" "$from (${a%%/*}) to $to (${b%%/*})" "pod ${ip[$from]} at pod ${ip[$to]} is seen as ${seen%:*}" || result=1
		done
		seen=$(fetch "$from" "http://skyweld-check.default.svc.cluster.local/hostname") || true
		verdict "$seen" 'check-*' "$from (${a%%/*}) to a service" "http://skyweld-check.default.svc.cluster.local is $seen" || result=1
	done
	return "$result"
}

# verdict GOT PATTERN WAY TEXT
verdict() {
	local word=WRONG
	# shellcheck disable=SC2053 # the right side is a pattern
	[[ $1 != $2 ]] || word=ok
	printf '%-5s  %-38s  %s\n' "$word" "$3" "$4"
	[[ $word == ok ]]
}

remove_check_pods() {
	kube delete pod,service -l app=skyweld-check --ignore-not-found --wait >/dev/null 2>&1 || say "the pods of the check could not be removed"
}

next_commands() {
	title "Go on with"
	[[ $kubectl != "$base"/* ]] || say "  export PATH=\$PATH:$base/bin"
	cat <<-END
		  export KUBECONFIG=$base/kubeconfig SKYWELD_DIR=$engine
		  kubectl get nodes -o wide
		  $SKYWELD get nodes
		  $SKYWELD ssh $cluster-web-1 -- ip route
		  $SKYWELD node add $cluster --group web --wait
		  $SKYWELD plan -f $base/cluster.yaml
		  eval "\$($SKYWELD lab env --dir $lab)"     # points aws and gcloud at the lab
		  aws ec2 describe-instances
		  make demo-down
	END
}

# console_link signs in with a link as a browser does, wants the page of the cluster, and ends with a link for people.
console_link() {
	local link page jar=$base/console.jar
	title "The console"
	link=$(skyweld open --print)
	page=$(curl -sS -L --fail-with-body -c "$jar" -b "$jar" "$link" && curl -sS --fail-with-body -b "$jar" "${link%/welcome*}/clusters/$cluster") || page=
	rm -f "$jar"
	verdict "$page" "*<h1*$cluster*" "signed in by a link" "the page of $cluster is ${#page} bytes" || die "the console doesn't show $cluster"
	say "Open it, signed in as admin (the link works once, for an hour; '$SKYWELD open' makes another):"
	say "  $(skyweld open --print)"
}

down() {
	need_root "make demo-down"
	if [[ ! -e $folder ]]; then
		say "there is no demo in $folder: nothing to do"
		return
	fi
	use_folder "$folder"
	left=0
	if [[ -s $lab/lab.json && -s $engine/skyweld.db ]]; then
		title "Delete the cluster"
		if ! (delete_cluster && ((left == 0))); then
			found "something in the accounts"
		fi
	fi
	title "Stop the engine and the lab"
	if stop_engine; then
		ok "the engine is stopped"
	else
		found "the engine's process $(<"$base/engine.pid") does not end"
	fi
	stop_lab
	title "What is left on this machine"
	nothing_left
	if ((left > 0)); then
		die "$left things are left, see above; $base keeps what is known about it, and 'make demo-down' can be run again"
	fi
	rm -rf "$engine" "${base:?}"/{before,bin}
	rm -f "$base"/{cluster.yaml,kubeconfig,kubeconfig.new,phases,inventory.new,receipt.json,stranger.log,lab-name,lab-processes,engine.log,engine.pid}
	rmdir "$base" 2>/dev/null || say "$base holds files that are not the demo's: it stays"
	say "nothing is left"
}

# delete_cluster deletes the cluster and compares the accounts with what they were.
delete_cluster() {
	local account uid c
	start_lab "${DEMO_PROFILE:-fast}" || return 1
	labctl status -o json | fields name >"$base/lab-name"
	start_engine
	if uid=$(skyweld get clusters "$cluster" -o json 2>/dev/null | fields uid) && [[ -n $uid ]]; then
		strangers "$uid" "before the delete"
		skyweld delete "$cluster" --wait || return 1
		strangers "$uid" "after the delete"
		if skyweld receipt "$uid" -o json >"$base/receipt.json" && skyweld receipt --verify "$base/receipt.json" >/dev/null &&
			grep -q '"state": "nothing-left"' "$base/receipt.json" && ! grep -q '"differences"' "$base/receipt.json"; then
			ok "the engine's signed receipt says the same: no difference in any account"
		else
			found "the receipt tells of something, or its signature doesn't fit: skyweld receipt $uid"
		fi
	fi
	for account in $(skyweld account list -o json | items name); do
		c=$(before "inventory-$account.json")
		if [[ ! -s $c ]]; then
			say "--     $account: no cluster was ever asked for"
		elif skyweld inventory "$account" -o json >"$base/inventory.new" && diff -u "$c" "$base/inventory.new"; then
			ok "inventory of $account: the same $(items id <"$c" | wc -l) things as before the first apply"
		else
			found "inventory of $account differs from what it was before the first apply"
		fi
	done
}

# strangers UID WHEN: how many things with the cluster's mark the clouds' own command lines see, where they are installed.
strangers() {
	local counts=() what answer
	if command -v aws >/dev/null; then
		for what in vpcs:Vpcs subnets:Subnets security-groups:SecurityGroups route-tables:RouteTables internet-gateways:InternetGateways addresses:Addresses "instances:Reservations[].Instances[?State.Name!='terminated'][]"; do
			answer=$(aws ec2 "describe-${what%%:*}" --filters "Name=tag:skyweld-cluster,Values=$1" --query "length(${what#*:})" --output text 2>"$base/stranger.log") || break
			counts+=("$answer ${what%%:*}")
		done
		stranger aws "$2" 7 "${counts[@]}"
	fi
	counts=()
	if command -v gcloud >/dev/null; then
		for what in networks "networks subnets" firewall-rules addresses instances disks; do
			# shellcheck disable=SC2086 # "networks subnets" are two words
			answer=$(gcloud compute $what list --format 'csv[no-heading](name,description,labels)' 2>"$base/stranger.log") || break
			counts+=("$(grep -c "$1" <<<"$answer" || true) ${what#networks }")
		done
		stranger gcloud "$2" 6 "${counts[@]}"
	fi
	curl_sees azure "$1" "$2" resource-groups virtualNetworks networkSecurityGroups publicIPAddresses networkInterfaces virtualMachines disks
	curl_sees digitalocean "$1" "$2" vpcs tags firewalls droplets reserved-ips
}

# curl_sees CLOUD UID WHEN KIND...: the same by scripts/sees.sh, for clouds whose command lines few machines have.
curl_sees() {
	local counts=() what answer
	if answer=$("$root/scripts/sees.sh" "$1" "$2" 2>"$base/stranger.log"); then
		for what in "${@:4}"; do
			counts+=("$(grep -c "^$what " <<<"$answer" || true) $what")
			answer=$(grep -v "^$what " <<<"$answer" || true)
		done
		# A kind that nobody thought of is a thing that is left, too.
		[[ -z $answer ]] || counts+=("$(wc -l <<<"$answer") other")
	fi
	stranger "curl at $1" "$3" $(($# - 3)) "${counts[@]}"
}

# stranger CLIENT WHEN WANTED COUNT...: with fewer counts than wanted, the client's log says why.
stranger() {
	local counts
	if (($# - 3 < $3)); then
		say "--     $1 could not be asked: $(grep -m 1 . "$base/stranger.log")"
		return
	fi
	counts=$(printf ', %s' "${@:4}")
	if [[ $2 == after* && $counts =~ [1-9] ]]; then
		found "$1 sees, $2: ${counts#, }"
	else
		ok "$1 sees, $2: ${counts#, }"
	fi
}

# stop_lab notes the lab's processes, stops it and removes its folder.
stop_lab() {
	[[ -e $lab ]] || return 0
	if [[ -s $base/lab-name ]]; then
		lab_processes "$(<"$base/lab-name")" | with_start >>"$base/lab-processes"
	fi
	if [[ -s $lab/lab.json ]]; then
		labctl stop --purge || found "the lab does not stop"
	elif [[ -z $(mounts_below "$lab") ]]; then # it never came up
		rm -rf "$lab"
	fi
}

usage() {
	say "Usage: scripts/demo.sh up|down" >&2
	exit 2
}

folder=${DEMO_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/skyweld-demo}
[[ $# == 1 ]] || usage
case $1 in
up) up ;;
down) down ;;
*) usage ;;
esac
