#!/usr/bin/env bash
# All tests: as root the real ones too, which need the bundle and the system's packages. Says plainly what is left out.
set -euo pipefail
cd "$(dirname "$0")/.."

# The same for all that is built here, and what 'make build' takes: with other flags the clouds' SDKs are compiled again.
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath -tags=grpcnotrace"

# programs fetches what tests need of others. Without one of them its tests skip by name.
programs() {
	# The console is looked at through a browser.
	if [ "$(id -u)" = 0 ] && ! command -v chromium >/dev/null; then
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null || echo "SKIPPED: the console in a browser: apt-get install chromium did not work"
	fi
	# The clouds' JavaScript clients and Azure's command line judge the lab.
	if command -v node >/dev/null && command -v npm >/dev/null; then
		scripts/strangers.sh browser >/dev/null || echo "SKIPPED: the console in a browser: scripts/strangers.sh could not install what drives it"
		scripts/strangers.sh >/dev/null || echo "SKIPPED: the lab under the clouds' JavaScript clients: scripts/strangers.sh could not install them"
	fi
	scripts/strangers.sh az >/dev/null || echo "SKIPPED: the lab under Azure's command line: scripts/strangers.sh az could not unpack it"
}

if [ "$(id -u)" = 0 ]; then
	make --no-print-directory deps
else
	echo "SKIPPED: everything that makes Linux namespaces (lab/fabric, lab/machine, agent, test/life): run 'make test' as root for it"
fi
programs & # mostly downloads: they come while this is built
fetching=$!
if [ "$(id -u)" = 0 ]; then
	make --no-print-directory bundle
fi
make --no-print-directory build vet
wait "$fetching"
# All of it is vetted, and most tests wait more than they work.
gotest=(go test -vet=off -parallel 4)
(cd bundle && "${gotest[@]}" ./...)
# One package at a time for what makes namespaces and clusters: their times are bounded, and the machine may be small.
# shellcheck disable=SC2046
"${gotest[@]}" $(go list ./... | grep -v -E '/(test|lab/fabric|lab/machine|agent)($|/)')
"${gotest[@]}" -p 1 -timeout 15m ./agent/... ./lab/fabric/... ./lab/machine/...
# What they keep (pictures of the console, logs of engines) is in bin/_artifacts.
rm -rf bin/_artifacts
# shellcheck disable=SC2046
"${gotest[@]}" -p 1 -v -timeout 25m -artifacts -outputdir bin $(go list ./test/... | grep -v /test/stock) 2>&1 | grep -v -E '^(=== (RUN|PAUSE|CONT|NAME))'
if [ "$(id -u)" = 0 ]; then
	scripts/stock.sh test
else
	echo "SKIPPED: test/stock, an ordinary Debian as a node: run 'make test-stock' as root for it"
fi
