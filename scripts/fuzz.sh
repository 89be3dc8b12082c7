#!/bin/sh
# Runs every fuzz test of the project, one at a time. FUZZTIME is how long each gets, as for 'go test -fuzztime': a number of
# inputs (1000000x) or a duration (30s). FUZZ is a part of the names of packages, to run only theirs.
set -eu
cd "$(dirname "$0")/.."
time=${FUZZTIME:-1000000x}
export GOFLAGS="-tags=${TAGS:-grpcnotrace}"
run() { # MODULE PACKAGE NAME
	echo "== $2 $3"
	(cd "$1" && nice -n 15 go test -run '^$' -fuzz "^$3\$" -fuzztime "$time" "$2")
}
grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
	case $file in *"${FUZZ:-}"*) ;; *) continue ;; esac
	module=. package=$(dirname "$file")
	case $package in ./bundle*) module=bundle package=.${package#./bundle} ;; esac
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r name; do run "$module" "$package" "$name" </dev/null || exit 1; done || exit 1
done
