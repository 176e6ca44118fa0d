# Plumbline. `make help` lists what there is.
GO       ?= go
BIN      := bin
PLUMB_REQUIRE_KERNEL ?= 1
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  := -s -w -X main.version=$(VERSION)

ARCHITECTURES := amd64 arm64
# Modules of test/peers that take minutes to build, and nft.
PEERS := cilium kubeproxy

.PHONY: help build image test test-scale demo generate golden verify lint bench bench-e2e fuzz

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## all binaries, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

image: ## the agent's image for amd64 and arm64, an OCI layout in bin/image; needs no container engine
	@for a in $(ARCHITECTURES); do CGO_ENABLED=0 GOOS=linux GOARCH=$$a $(GO) build -trimpath -ldflags '$(LDFLAGS)' \
	-o $(BIN)/linux-$$a/plumb-agent ./cmd/plumb-agent || exit 1; done
	@rm -rf $(BIN)/image
	$(GO) run ./cmd/plumb-image -o $(BIN)/image -version $(VERSION) $(foreach a,$(ARCHITECTURES),$(a)=$(BIN)/linux-$(a)/plumb-agent)

test: ## every test; kernel tests run as root and must not be skipped there
	PLUMB_REQUIRE_KERNEL=$(PLUMB_REQUIRE_KERNEL) $(GO) test ./...

# -v says how long drift takes to be seen.
E2EFLAGS ?= -v

test-e2e: ## with a real API server, Flux and this kernel; builds those first (cold, 10 minutes and more)
	tools=$$(test/e2e/tools/build) && PLUMB_REQUIRE_KERNEL=$(PLUMB_REQUIRE_KERNEL) PLUMB_E2E_TOOLS=$$tools $(GO) test -C test/e2e -trimpath -count=1 -timeout 20m $(E2EFLAGS) .

bench-e2e: ## from an API server's PUT to a lookup in the kernel's map; builds that first; BENCH names one
	tools=$$(test/e2e/tools/build) && PLUMB_REQUIRE_KERNEL=$(PLUMB_REQUIRE_KERNEL) PLUMB_E2E_TOOLS=$$tools $(GO) test -C test/e2e -trimpath -run '^$$' -bench "$${BENCH-.}" -benchtime $${BENCHTIME-1x} -timeout 20m .

test-scale: ## a fleet of SCALE simulated nodes (default 5000) at a real API server: what the controller takes
	tools=$$(test/e2e/tools/build) && PLUMB_E2E_TOOLS=$$tools PLUMB_SCALE=$${SCALE-5000} $(GO) test -run '^TestScale$$' -count=1 -v -timeout 30m ./runtime/fleet

demo: build ## compile, run, break, see, mend: on this machine, no cluster
	$(BIN)/plumb demo $(DEMOFLAGS)

generate: ## rebuild the eBPF objects and the generated tables (needs clang-19 and llvm-19)
	$(GO) generate ./...

golden: ## rewrite the golden files
	PLUMB_UPDATE=1 $(GO) test ./... && git diff --stat

verify: generate ## generated files and go.mod are as committed
	$(GO) mod tidy -diff
	git diff --exit-code
	@test -z "$$(git status --porcelain)" || { git status --short; exit 1; }

lint: ## gofmt, go vet, staticcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

bench: ## every benchmark once, with peers that do the same; -benchtime by BENCHTIME; with PLUMB_PEERS=1 Cilium and kube-proxy as well
	PLUMB_PEERS=1 $(GO) test -run '^TestRendersAsHelmDoes$$' -bench . -benchtime $${BENCHTIME-1x} ./...
	@test "$(PLUMB_PEERS)" != 1 || for m in $(PEERS); do (cd test/peers/$$m && \
	PLUMB_PEERS=1 $(GO) test -mod=mod -run '^$$' -bench . -benchtime $${BENCHTIME-1x} -timeout 1h .) || exit 1; done

fuzz: ## each fuzz target for FUZZTIME (default 10s)
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
	$(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME-10s} $$p || exit 1; done; done
