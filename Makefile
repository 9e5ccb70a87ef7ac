# countersign: signed and verified messages over Kerberos.
# `make help` lists the targets.

PREFIX   ?= /usr/local
DESTDIR  ?=
FUZZTIME ?= 30s

GO       ?= go
INSTALL  ?= install
PROGRAMS  = gss-server gss-client

# Outside a usable git tree (a tarball, another user's clone) nothing can be
# stamped into the binaries, and go build would fail trying.
BUILDVCS := $(shell git rev-parse HEAD >/dev/null 2>&1 || echo -buildvcs=false)

.DEFAULT_GOAL := build
.PHONY: build run test race fuzz bench lint docker-test install clean help toolchain

build: toolchain ## build the programs, static, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath $(BUILDVCS) -o bin/ ./cmd/...
	CGO_ENABLED=0 $(GO) build -trimpath $(BUILDVCS) -tags nats -o bin/gss-server-nats ./cmd/gss-server

run: build ## show one signed message: realm, server and client on loopback
	@testdata/run.sh bin

test: toolchain ## everything that can be tested here, with Debian's MIT programs as peers
	@.ci/test

race: toolchain ## the Go tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -tags nats ./... ./testdata/pki/...

fuzz: toolchain ## each fuzz target for FUZZTIME (30s)
	@.ci/fuzz $(FUZZTIME)

bench: toolchain ## measure beside MIT's library and server, and openssl's (QUICK=1: one short round)
	$(GO) run ./testdata/bench $(if $(QUICK),-quick)

lint: toolchain ## gofmt, vet, staticcheck, govulncheck
	@.ci/lint

docker-test: build ## KDC, server and client in containers, each a host of its own
	@docker/test.sh

install: build ## install gss-server, gss-client and their manual pages into PREFIX (/usr/local)
	$(INSTALL) -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/man/man1'
	$(INSTALL) -m 755 bin/gss-server-nats '$(DESTDIR)$(PREFIX)/bin/'
	for p in $(PROGRAMS); do \
		$(INSTALL) -m 755 bin/$$p '$(DESTDIR)$(PREFIX)/bin/' && \
		$(INSTALL) -m 644 cmd/$$p/$$p.1 '$(DESTDIR)$(PREFIX)/share/man/man1/' || exit 1; \
	done

clean: ## remove what was built
	rm -rf bin dist

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS='	' read -r t d; do printf '  %-12s %s\n' "$$t" "$$d"; done

toolchain:
	@GO='$(GO)' .ci/toolchain
