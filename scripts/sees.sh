#!/usr/bin/env bash
# What bears a cluster's mark at Azure or DigitalOcean, or without a uid all that is there, as curl sees it, which knows
# nothing of Skyweld: a line for each thing, its kind and its id. It asks where 'skyweld lab env' points, or the real cloud
# with the same variables.
#
# sees.sh azure|digitalocean [UID]
set -euo pipefail

# ask URL [HEADER]: the answer to a GET. The header with the secret goes by standard input, as arguments are everybody's to read.
ask() {
	printf 'header = "%s"\n' "${2:-$login}" |
		curl --config - --silent --show-error --fail-with-body --max-time 60 ${CA:+--cacert "$CA"} "$1"
}

# pages FIRST NEXT WHAT: WHAT of the answer, by jq, and of those that follow by the URL that NEXT finds.
pages() {
	local url=$1 answer
	while [[ -n $url ]]; do
		answer=$(ask "$url")
		jq -r "$3" <<<"$answer"
		url=$(jq -r "$2 // empty" <<<"$answer")
	done
}

azure() {
	local manager=${AZURE_RESOURCE_MANAGER_ENDPOINT:-https://management.azure.com} authority=${AZURE_AUTHORITY_HOST:-https://login.microsoftonline.com}
	local base filter token mark="tagName eq 'skyweld-cluster' and tagValue eq '$1'"
	CA=${REQUESTS_CA_BUNDLE:-}
	token=$(printf 'data-urlencode = "%s"\n' "grant_type=client_credentials" "client_id=$AZURE_CLIENT_ID" "client_secret=$AZURE_CLIENT_SECRET" \
		"scope=${AZURE_RESOURCE_MANAGER_AUDIENCE:-$manager}/.default" |
		curl --config - --silent --show-error --fail-with-body ${CA:+--cacert "$CA"} "${authority%/}/$AZURE_TENANT_ID/oauth2/v2.0/token" | jq -r .access_token)
	login="Authorization: Bearer $token"
	base=${manager%/}/subscriptions/$AZURE_SUBSCRIPTION_ID
	filter=api-version=2021-04-01
	[[ -z $1 ]] || filter+="&\$filter=$(jq -rn --arg f "$mark" '$f | @uri')"
	pages "$base/resourcegroups?$filter" .nextLink '.value[] | "resource-groups \(.id)"'
	pages "$base/resources?$filter" .nextLink '.value[] | "\(.type | split("/")[-1]) \(.id)"'
}

digitalocean() {
	local api=${DIGITALOCEAN_API_URL:-https://api.digitalocean.com} next='.links.pages.next' tags ours
	CA=${SKYWELD_DIGITALOCEAN_CA:-}
	login="Authorization: Bearer $DIGITALOCEAN_TOKEN"
	api=${api%/}/v2
	tags=$(pages "$api/tags?per_page=200" "$next" ".tags[].name | select(contains(\"${1:+:$1}\"))")
	# Networks bear the mark in their description, firewalls in the tags that they are for; a tag names each address.
	pages "$api/droplets?per_page=200${1:+&tag_name=skyweld:cluster:$1}" "$next" '.droplets[] | "droplets \(.id)"'
	pages "$api/firewalls?per_page=200" "$next" ".firewalls[] | select(.tags | tostring | contains(\"${1:+:$1}\")) | \"firewalls \(.id)\""
	pages "$api/vpcs?per_page=200" "$next" ".vpcs[] | select(.description // \"\" | contains(\"${1:+skyweld-cluster=$1}\")) | \"vpcs \(.id)\""
	ours=$(sed -n "s/^skyweld:ip:$1:.*:\([0-9]*\)-\([0-9]*\)-\([0-9]*\)-\([0-9]*\)\$/reserved-ips \1.\2.\3.\4/p" <<<"$tags")
	pages "$api/reserved_ips?per_page=200" "$next" '.reserved_ips[] | "reserved-ips \(.ip)"' | if [[ -n $1 ]]; then grep -Fx "${ours:-none}" || true; else cat; fi
	sed '/./!d; s/^/tags /' <<<"$tags"
}

case ${1:-} in
azure | digitalocean)
	[[ ${2:-} =~ ^[0-9a-f]*$ ]] || {
		echo "Error: want a cluster's uid, found \"$2\"" >&2
		exit 2
	}
	"$1" "${2:-}"
	;;
*)
	echo "Usage: scripts/sees.sh azure|digitalocean [UID]" >&2
	exit 2
	;;
esac
