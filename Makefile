# Skyweld. 'make help' lists what there is.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TAGS    := grpcnotrace
GOFLAGS_BUILD := -trimpath -tags $(TAGS) -ldflags "-s -w -X main.version=$(VERSION)"
BIN     := bin/skyweld
# Packages of Debian and Ubuntu that the lab's machines and the tests use from this machine.
PACKAGES := $(shell cat packages.txt bundle/packages.txt 2>/dev/null)

.DEFAULT_GOAL := build

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/skyweld
	CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o $(BIN) ./cmd/skyweld

.PHONY: deps
deps: ## install what is missing of the system's packages (root)
	@missing=""; for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
		[ "$$(id -u)" = 0 ] || { echo "these packages are missing, and installing them needs root:$$missing"; exit 1; }; \
		echo "installing:$$missing"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

.PHONY: bundle
bundle: deps ## build Kubernetes and its node programs from source, into the cache folder
	cd bundle && go run . build

.PHONY: demo
demo: deps build bundle ## a cluster across the clouds of the lab, on this machine (root)
	scripts/demo.sh up

.PHONY: demo-down
demo-down: ## delete the demo's cluster, and prove that nothing is left
	scripts/demo.sh down

.PHONY: test
test: ## everything; real clusters where run as root
	scripts/test.sh

.PHONY: test-unit
test-unit: ## what needs no cluster; as root also what makes namespaces
	go test -tags $(TAGS) $$(go list ./... | grep -v /test/)
	cd bundle && go test ./...

.PHONY: crash
crash: ## stop the engine before and after everything that it does, once each
	@bash -o pipefail -c "CRASH_POINTS=all go test -tags $(TAGS) -count 1 -timeout 30m -parallel 4 -run '^(TestCrash|TestFrozen)$$' -v ./engine | grep --line-buffered -v -E '^(=== | *--- PASS)'"

.PHONY: soak
soak: deps build bundle ## SOAK_TIME of random changes, drifts, faults and kills over the lab (default 20m; root)
	SOAK_TIME=$${SOAK_TIME:-20m} go test -tags $(TAGS) -count 1 -timeout 90m -v ./test/soak

.PHONY: test-stock
test-stock: build bundle ## an ordinary Debian as a node, under qemu, and its cloud-init (root)
	scripts/stock.sh test

.PHONY: bench
bench: ## figures: speed, memory
	go test -tags $(TAGS) -run '^$$' -bench . -benchtime 1s ./plan ./lab/fabric ./geo ./geo/gen
	go test -tags $(TAGS) -run '^$$' -bench . -benchtime 20x ./web
	go test -tags $(TAGS) -timeout 60m -run '^$$' -bench . -benchtime 1x ./internal/fleet
	go test -tags $(TAGS) -timeout 10m -run '^$$' -bench Read -benchtime 1x ./api
	go test -tags $(TAGS) -timeout 20m -run '^$$' -bench . -benchtime 1x ./agent
	scripts/bench.sh memory

.PHONY: load
load: ## SKYWELD_LOAD (default 60s) of 200 readers of streams and 20 writers at one engine
	SKYWELD_LOAD=$${SKYWELD_LOAD:-60s} go test -tags $(TAGS) -count 1 -timeout 20m -run '^TestLoad$$' -v ./api

.PHONY: bench-create
bench-create: build bundle ## how long creation takes, beside bare kubeadm and with clouds as slow as they are (root)
	scripts/bench.sh create
	scripts/bench.sh overlap

.PHONY: fuzz
fuzz: ## feed every parser FUZZTIME of made-up input, one after another (default 1000000x)
	scripts/fuzz.sh

.PHONY: vet
vet: ## gofmt and go vet
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet -tags $(TAGS) ./...
	cd bundle && go vet ./...

.PHONY: lint
lint: vet ## vet, and golangci-lint with the list in .golangci.yml
	@command -v golangci-lint >/dev/null || { echo "golangci-lint is not installed: go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@latest"; exit 1; }
	golangci-lint run ./...

.PHONY: clean
clean: ## remove what was built here
	rm -rf bin
