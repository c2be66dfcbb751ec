# SPDX-License-Identifier: LGPL-2.1-or-later
# What one does with this tree. `make help` lists it.

CARGO ?= cargo
T ?= frame
S ?= 60

# What the tests and the demo use besides Rust: a command or file that shows it is there, and the
# Debian package that has it.
DEMO_NEEDS = virsh:libvirt-clients ip:iproute2 unshare:util-linux kill:procps
CHECK_NEEDS = $(DEMO_NEEDS) \
	virt-admin:libvirt-clients \
	/usr/sbin/libvirtd:libvirt-daemon \
	systemd-socket-activate:systemd \
	mandoc:mandoc \
	xmllint:libxml2-utils \
	/usr/bin/python3:python3 \
	/usr/lib/python3/dist-packages/libvirt.py:python3-libvirt \
	/usr/share/libvirt/schemas/interface.rng:libvirt0 \
	$(PERL_SYS_VIRT):libsys-virt-perl
BENCH_NEEDS = $(DEMO_NEEDS) /usr/sbin/libvirtd:libvirt-daemon
PERL_SYS_VIRT = $(firstword $(wildcard /usr/lib/*/perl5/*/Sys/Virt.pm) /usr/lib/perl5/Sys/Virt.pm)

.PHONY: all help demo check deps-demo deps-check deps-bench fmt lint doc test man golden fuzz bench clean

all: ## build the daemon (release)
	$(CARGO) build --release

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: deps-demo all ## show a private host's interfaces with the real virsh
	tests/demo.sh target/release/virtinterfaced

check: deps-check fmt lint doc test man ## all that must hold: what CI runs

fmt: ## is the code formatted?
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path tests/fuzz/Cargo.toml

lint: ## does clippy agree?
	$(CARGO) clippy --all-targets -- -D warnings

doc: ## is the documentation whole?
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items

test: ## run every test; those that need root say so, and fail under CI
	$(CARGO) test

man: ## are the manuals well-formed?
	mandoc -T lint -W warning man/*

golden: ## rewrite the expected files; read the diff like code
	UPDATE_GOLDEN=1 $(CARGO) test --test golden_netlink --test golden_rpc --test netns

fuzz: ## fuzz one target for a while: make fuzz T=frame S=60
	mkdir -p target/fuzz/$(T)
	RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir tests/fuzz $(T) target/fuzz/$(T) \
		tests/fuzz/corpus/$(T) -- -max_total_time=$(S) -max_len=4095 -malloc_limit_mb=64 -timeout=10

bench: deps-bench ## measure, beside libvirt's own driver and a bare server
	$(CARGO) bench --bench bench

clean: ## remove what was built
	$(CARGO) clean

deps-demo:
	@tests/needs.sh $(DEMO_NEEDS)
deps-check:
	@tests/needs.sh $(CHECK_NEEDS)
deps-bench:
	@tests/needs.sh $(BENCH_NEEDS)
