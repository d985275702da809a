GO ?= go

# The linter to install when there is none.
GOLANGCI_VERSION = v2.15.0
GOBIN_DIR = $(shell $(GO) env GOPATH)/bin

# How long each fuzz test runs, and which benchmarks do.
FUZZTIME ?= 30s
BENCH ?= .

# How dbpool is measured beside others; see internal/bench/pools.
POOLS ?= -rounds 3

# How resolution is measured beside others; see internal/bench/resolve.
RESOLVE ?=

# Modules of their own, which ./... does not reach.
NESTED = internal/bench/resolve internal/bench/limits admin/ui/build

# Runs a command with a PostgreSQL, a MariaDB and a Redis server of its own.
SERVERS = $(GO) run ./internal/testserver/run --
NO_SERVERS = env -u TENANCY_TEST_POSTGRES -u TENANCY_TEST_MYSQL -u TENANCY_TEST_REDIS -u TENANCY_TEST_REQUIRE

.PHONY: help test race check ui fuzz bench bench-pools bench-resolve bench-limits soak lint fmt services-up services-down linter

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## vet, and all tests with the race detector on SQLite, PostgreSQL, MariaDB and Redis
	$(GO) vet ./...
	for dir in $(NESTED); do (cd $$dir && $(GO) vet ./...) || exit 1; done
	$(SERVERS) sh -c '$(GO) test -race -count=1 ./... && for dir in $(NESTED); do (cd $$dir && $(GO) test -count=1 ./...) || exit 1; done'

race: ## the quick tests with the race detector, on SQLite alone
	$(NO_SERVERS) $(GO) test -race -count=1 -short ./...

check: lint ## what a change must pass: format, lint, tidy modules, quick race tests, each benchmark once
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	for dir in . $(NESTED); do (cd $$dir && $(GO) mod tidy -diff) || exit 1; done
	$(MAKE) race
	$(NO_SERVERS) $(GO) test -short -run '^$$' -bench . -benchtime 1x ./... >/dev/null

ui: ## build the console's page: admin/ui/src becomes admin/ui/dist
	cd admin/ui/build && $(GO) run .

fuzz: ## every fuzz test for FUZZTIME (30s)
	@for pkg in $$($(GO) list ./...); do \
		names=$$($(GO) test -list '^Fuzz' "$$pkg") || { echo "$$names"; exit 1; }; \
		for name in $$(echo "$$names" | grep '^Fuzz'); do \
			echo "$$pkg $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$pkg" || exit 1; \
		done; \
	done

bench: ## all benchmarks, or those that match BENCH
	$(SERVERS) $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

bench-pools: ## dbpool beside PgBouncer and others, with the options POOLS (-rounds 3)
	$(GO) run ./internal/bench/pools $(POOLS)
	$(GO) run ./internal/bench/pools -engine mariadb $(POOLS)
	$(GO) run ./internal/bench/pools -noisy $(POOLS)
	$(GO) run ./internal/bench/pools -cold $(POOLS)

bench-resolve: ## resolution beside maps, Redis, SQL and others, with the options RESOLVE (-quick)
	cd internal/bench/resolve && $(GO) run . $(RESOLVE)

bench-limits: ## the limiters beside others, how exact they are, and a noisy neighbour
	cd internal/bench/limits && for what in decisions accuracy noisy; do $(GO) run . -$$what || exit 1; done

soak: ## the tests in their long versions, with the race detector
	TENANCY_SOAK=1 $(SERVERS) $(GO) test -race -count=1 -timeout 60m ./...

lint: linter ## golangci-lint
	PATH="$$PATH:$(GOBIN_DIR)" golangci-lint run ./...
	for dir in $(NESTED); do (cd $$dir && PATH="$$PATH:$(GOBIN_DIR)" golangci-lint run ./...) || exit 1; done

fmt: linter ## format the code
	PATH="$$PATH:$(GOBIN_DIR)" golangci-lint fmt ./...
	for dir in $(NESTED); do (cd $$dir && PATH="$$PATH:$(GOBIN_DIR)" golangci-lint fmt ./...) || exit 1; done

services-up: ## start servers and leave them running; their addresses are in .services/env
	@$(GO) run ./internal/testserver/run up

services-down: ## stop the servers of services-up
	@$(GO) run ./internal/testserver/run down

linter:
	@PATH="$$PATH:$(GOBIN_DIR)" command -v golangci-lint >/dev/null || \
		$(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
