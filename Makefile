# `make demo` shows the product, `make test` checks it; both do their own set-up on a machine with Go and Node.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 30s
# One way to compile all but the race tests, so that the linter, the binary and the tests over it share their work.
PURE     := env CGO_ENABLED=0 GOFLAGS="$(strip $(shell go env GOFLAGS) -trimpath)"
LINT     := $(PURE) go tool -modfile=tools/go.mod golangci-lint
RACE     := $(if $(shell command -v cc),-race,)
STEP     := @scripts/step

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/paywall: static, stripped, reproducible
	$(PURE) go build -tags nomsgpack -ldflags '$(LDFLAGS)' -o bin/paywall ./cmd/paywall

.PHONY: demo
demo: build ## watch an agent pay for a request, offline
	bin/paywall demo

.PHONY: test
test: ## everything that CI runs
	+$(STEP) "set-up" $(MAKE) --no-print-directory deps
	+$(STEP) "check" $(MAKE) --no-print-directory check
	+$(STEP) "unit tests" $(MAKE) --no-print-directory unit
	+$(STEP) "end to end" $(MAKE) --no-print-directory e2e
	+$(STEP) "interop" $(MAKE) --no-print-directory interop

.PHONY: deps
deps: ## install Debian packages the tests need (as root; otherwise names them)
	@scripts/deps

.PHONY: check
check: ## format, lint, vet, architecture, module and generated files
	$(STEP) "format" $(LINT) fmt --diff
	$(STEP) "lint" $(LINT) run ./...
	$(STEP) "vet" $(PURE) go vet -tags testhooks ./...
	$(STEP) "architecture" $(PURE) go test -count=1 ./internal/archtest
	$(STEP) "modules" go mod tidy -diff
	$(STEP) "generated files" scripts/generated
	$(STEP) "known vulnerabilities" $(PURE) scripts/vuln

.PHONY: fmt
fmt: ## format every Go file
	$(LINT) fmt

.PHONY: unit
unit: ## unit tests, in random order, under the race detector where a C compiler is there
	@$(if $(RACE),,echo "notice: no C compiler, so no race detector")
	go test $(RACE) -shuffle=on $$(go list ./... | grep -vE '^paywall/test/(e2e|interop)(/|$$)')

.PHONY: e2e
e2e: ## scripts against the built binary
	$(PURE) go test -count=1 -timeout 15m ./test/e2e/...

.PHONY: interop
interop: ## payment clients of other makers against the built binary
	$(PURE) go test -count=1 -timeout 15m -v ./test/interop/...

.PHONY: bench
bench: ## benchmarks beside the code, then the binary under load as ratios to bare servers
	go test -run '^$$' -bench . -benchmem $$(go list ./... | grep -vE '^paywall/test/')
	go run ./test/bench $(BENCHFLAGS)

.PHONY: fuzz
fuzz: ## every fuzz target, FUZZTIME=30s each
	@scripts/fuzz $(FUZZTIME)

.PHONY: lint-install
lint-install: ## build the pinned linter into the build cache (minutes, once)
	$(LINT) version

.PHONY: clean
clean: ## remove what was built
	rm -rf bin test/interop/node_modules
