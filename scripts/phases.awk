# The time of a cluster's creation by phase. Input: runs as 'skyweld get runs CLUSTER RUN -o json' writes them, in order.
# A phase lasts from the start of its first step to the end of its last; phases may overlap. With what=sites it is the
# time until a site has all it needs of its cloud, with what=path the steps of the last run's critical path.

function seconds(t,    y, m, d) { # of an RFC 3339 time in UTC, since some day long ago
	y = substr(t, 1, 4) + 0; m = substr(t, 6, 2) + 0; d = substr(t, 9, 2) + 0
	if (m <= 2) { y--; m += 12 }
	d += 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (m - 3) + 2) / 5)
	return d * 86400 + substr(t, 12, 2) * 3600 + substr(t, 15, 2) * 60 + substr(t, 18)
}

function phase() {
	if (step["kind"] ~ /^(instance|address-association|virtual-machine|droplet|reserved-ip)$/) return "machines"
	if (step["kind"] != "node") return "network"
	if (step["action"] == "prepare" || step["action"] == "configure") return "prepare and configure"
	if (step["action"] == "init" || step["action"] == "join") return "kubeadm " step["action"]
	return ""
}

function took(step_or_phase) { return sprintf("%.1fs", step_or_phase) }

{
	key = $1; gsub(/[":]/, "", key)
	value = $2; gsub(/[",]/, "", value)
}
/^  "started": / { if (!begin) begin = seconds(value) }
/^  "ended": / { finish = seconds(value) }
/^    [{]/ { split("", step) }
/^      "(id|action|kind|key|site|state|started|ended)": / { step[key] = value }
/^  "criticalPath": / { path = "" }
/^    "/ {
	gsub(/[", ]/, "")
	path = path (path == "" ? "" : ", ") name[$0] " " lasted[$0]
}
/^    [}]/ {
	if (step["state"] == "done") {
		name[step["id"]] = step["action"] " " step["key"]
		lasted[step["id"]] = took(seconds(step["ended"]) - seconds(step["started"]))
		if (step["kind"] != "node" && seconds(step["ended"]) > made[step["site"]]) made[step["site"]] = seconds(step["ended"])
	}
	p = phase()
	if (p == "" || step["state"] != "done") next
	a = seconds(step["started"]); b = seconds(step["ended"])
	if (!(p in count) || a < from[p]) from[p] = a
	if (b > to[p]) to[p] = b
	if (b - a > longest[p]) { longest[p] = b - a; which[p] = step["key"] }
	count[p]++
}
END {
	if (!begin || !finish) exit
	if (what == "path") print path
	if (what == "sites") for (site in made) printf "%s\t%.1f\n", site, made[site] - begin
	if (what) exit
	if (!raw) printf "%-22s %8s %8s %8s  %5s  %s\n", "PHASE", "FROM", "TO", "TOOK", "STEPS", "LONGEST STEP"
	n = split("network,machines,prepare and configure,kubeadm init,kubeadm join", order, ",")
	for (i = 1; i <= n; i++) {
		p = order[i]
		if (!(p in count)) continue
		if (raw) printf "%s\t%.3f\t%.3f\n", p, from[p] - begin, to[p] - begin
		else printf "%-22s %8s %8s %8s  %5d  %s %s\n", p, took(from[p] - begin), took(to[p] - begin), took(to[p] - from[p]), count[p], took(longest[p]), which[p]
	}
	if (raw) printf "total\t0\t%.3f\n", finish - begin
	else printf "%-22s %8s %8s %8s\n", "total", took(0), took(finish - begin), took(finish - begin)
}
