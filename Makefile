GO ?= go

# The linter to install when there is none.
GOLANGCI_VERSION = v2.15.0
GOBIN_DIR = $(shell $(GO) env GOPATH)/bin

# How long each fuzz test runs, and which benchmarks do.
FUZZTIME ?= 30s
BENCH ?= .

# The race detector, over everything but SQLite's own code and the hash of passwords. SQLite is C that was translated to Go, with locks of
# its own; the hash is arithmetic. Watching them tells nothing about the library, and takes five times as long. What calls them is watched.
UNWATCHED = -race=false -d=checkptr=0
RACE = -race "-gcflags=modernc.org/sqlite/lib=$(UNWATCHED)" "-gcflags=modernc.org/libc/...=$(UNWATCHED)" "-gcflags=golang.org/x/crypto/argon2=$(UNWATCHED)"

# How dbpool is measured beside others; see internal/bench/pools.
POOLS ?= -rounds 3

# How resolution is measured beside others; see internal/bench/resolve.
RESOLVE ?=

# How runs are measured; see internal/bench/runs. The whole table: -tenants 1000 -known 100000.
RUNS ?=

# Modules of their own, which ./... does not reach.
NESTED = internal/bench/resolve internal/bench/limits admin/ui/build admin/ui/uitest maintenance/riverrun

# Runs a command with a PostgreSQL, a MariaDB and a Redis server of its own.
SERVERS = $(GO) run ./internal/testserver/run --
NO_SERVERS = env -u TENANCY_TEST_POSTGRES -u TENANCY_TEST_MYSQL -u TENANCY_TEST_REDIS -u TENANCY_TEST_REQUIRE

# What race and soak run, which of the tests, and how often soak does.
PACKAGES ?= ./...
COUNT ?= 1
RUN ?= .

# Packages that deal with time: test-busy runs them with servers, and of the others (QUICK) the quick tests without.
TIMED = ./analytics ./catalog/cache ./dbpool/lease ./maintenance/... ./middleware/... ./examples/...
QUICK ?= $$($(GO) list ./... | grep -vxF "$$($(GO) list $(TIMED))")
# Most of them wait for processes that the loops keep from running, so that many run at once.
BUSY = $(GO) test $(RACE) -count=1 -timeout 60m -parallel 8

.PHONY: help needs test test-busy race check ui typecheck test-ui bench-ui fuzz bench bench-pools bench-resolve bench-limits bench-runs bench-audit bench-admin soak lint fmt services-up services-down linter

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

needs:
	@command -v $(firstword $(GO)) >/dev/null || { echo "Go is missing: https://go.dev/dl/" >&2; exit 1; }
	@command -v git >/dev/null || { echo "git is missing (Debian: apt-get install git)" >&2; exit 1; }
	@printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | $$($(GO) env CC) -x c -o /dev/null - 2>/dev/null || \
		{ echo "a C compiler with its headers is missing; Go's race detector needs it (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }

test: needs ## vet, and all tests with the race detector on SQLite, PostgreSQL, MariaDB and Redis
	$(GO) vet ./...
	for dir in $(NESTED); do (cd $$dir && $(GO) vet ./...) || exit 1; done
	$(SERVERS) sh -c '$(GO) test $(RACE) -count=1 -timeout 60m -p 3 -parallel 4 ./...; code=$$?; for dir in $(NESTED); do (cd $$dir && $(GO) test -count=1 -timeout 60m ./...) || code=1; done; exit $$code'

test-busy: needs ## the tests of what deals with time, and the quick ones of the rest, beside busy loops and on a machine that stops; at most an hour
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && $(GO) build -o "$$dir/busy" ./internal/testserver/busy && \
		$(NO_SERVERS) $(GO) vet ./... && \
		echo "compiling ..." && $(GO) list -export -deps -test $(RACE) ./... >/dev/null || exit 1; \
		code=0; echo "beside eight loops:"; \
		$(NO_SERVERS) "$$dir/busy" -loops 8 $(BUSY) -p 8 -short $(QUICK) || code=1; \
		$(SERVERS) "$$dir/busy" -loops 8 $(BUSY) -p 8 $(TIMED) || code=1; \
		echo "at a tenth of the processor, quick tests:"; \
		$(NO_SERVERS) $(BUSY) -p 16 -exec "$$dir/busy -share 0.1" -short $(QUICK) || code=1; \
		$(SERVERS) $(BUSY) -p 16 -exec "$$dir/busy -share 0.1" -short $(TIMED) || code=1; \
		exit $$code

race: needs ## the quick tests with the race detector, on SQLite alone; PACKAGES (./...) and RUN (.) choose
	$(NO_SERVERS) $(GO) test $(RACE) -count=1 -short -run '$(RUN)' $(PACKAGES)

check: lint ## what a change must pass: format, lint, tidy modules, quick race tests, each benchmark once
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	for dir in . $(NESTED); do (cd $$dir && $(GO) mod tidy -diff) || exit 1; done
	$(MAKE) race
	$(NO_SERVERS) $(GO) test -short -run '^$$' -bench . -benchtime 1x ./... >/dev/null

ui: ## build the console's page: admin/ui/src becomes admin/ui/dist
	cd admin/ui/build && $(GO) run .

# What tsc reads, and where it is put: outside of the repository, which has no Node.
TYPECHECK ?= $(or $(TMPDIR),/tmp)/tenancy-typecheck

typecheck: ## tsc over the console's sources, where there is Node
	@command -v npm >/dev/null || { echo "no Node: the types of admin/ui/src are not checked"; exit 0; }; \
		mkdir -p $(TYPECHECK) && sed "s#{{src}}#$(CURDIR)/admin/ui/src#g" admin/ui/build/tsconfig.json >$(TYPECHECK)/tsconfig.json && \
		cd $(TYPECHECK) && npm install --no-save --no-audit --no-fund --silent typescript@5.9.3 preact@11.2.0 @preact/signals@2.11.4 @preact/signals-core@1.14.5 && \
		node_modules/.bin/tsc -p .

test-ui: ## the console's page in Chromium, with axe, each state in both themes at three widths; its screenshots are in admin/ui/screenshots
	cd admin/ui/uitest && TENANCY_SOAK=1 $(GO) test -count=1 -timeout 60m -v ./...

bench-ui: ## what the console's page costs in a browser: first load, a large table, memory, an idle tab
	cd admin/ui/uitest && $(GO) test -count=1 -timeout 60m -tags bench -run TestMeasure -v .

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

.PHONY: bench-usage
bench-usage: ## the recorder, the store and the reports of 10,000 tenants, with the options USAGE (-days 14)
	$(GO) run ./internal/bench/usage $(USAGE)

bench-limits: ## the limiters beside others, how exact they are, and a noisy neighbour
	cd internal/bench/limits && for what in decisions accuracy noisy; do $(GO) run . -$$what || exit 1; done

bench-runs: ## runs beside loops over goose, many tenants, killed workers, live traffic, followers, with the options RUNS
	$(SERVERS) $(GO) run ./internal/bench/runs $(RUNS)

bench-audit: ## what the audit and the outbox cost: changes, seal lag, verification, floods, delivery; pages of 10,000 tenants (TENANCY_BENCH_TENANTS=100000)
	$(SERVERS) $(GO) test -run '^$$' -bench . -benchtime 1x -v ./internal/bench/audit
	$(SERVERS) $(GO) test -run '^$$' -bench ListPages -benchtime 1x -timeout 60m -v ./catalog

bench-admin: ## the console: routes at 2,000 tenants on three engines, the audit, sign-ins, viewers, restarts, killed instances, examples/admin (TENANCY_MEASURE_TENANTS=10000 TENANCY_MEASURE_KILLS=12)
	TENANCY_MEASURE=1 $(SERVERS) $(GO) test -count=1 -timeout 60m -v -run 'TestMeasure$$' ./admin

soak: needs ## the tests in their long versions, with the race detector; PACKAGES (./...), COUNT (1) and RUN (.) choose
	TENANCY_SOAK=1 $(SERVERS) $(GO) test $(RACE) -count=$(COUNT) -run '$(RUN)' -timeout 120m $(PACKAGES)

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
