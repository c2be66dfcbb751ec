# SPDX-License-Identifier: LGPL-2.1-or-later
# What one does with this tree. `make help` lists it.

CARGO ?= cargo
T ?= frame
S ?= 60
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)

# Where things are. SYSCONFDIR, LOCALSTATEDIR and RUNSTATEDIR are compiled in, as the places of
# libvirt/virtinterfaced.conf, of log/libvirt and of the sockets and pid files: give `make` and
# `make install` the same ones. Clients look for the sockets below /var/run/libvirt, so another
# RUNSTATEDIR is for those that are built alike. What an init system reads goes where it looks, below
# /etc whatever SYSCONFDIR is, and into UNITDIR. DESTDIR, for packages, goes before everything and is
# compiled in nowhere. Some hosts have another RUNITDIR, RUNITCOREDIR, S6DIR or S6RCDIR.
PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
RUNITDIR ?= /etc/sv
RUNITCOREDIR ?= /etc/runit/core-services
S6DIR ?= /etc/s6/sv
S6RCDIR ?= /etc/s6-rc/source
SYSCONFDIR ?= /etc
LOCALSTATEDIR ?= /var
RUNSTATEDIR ?= /run
DIRS = $(if $(filter-out /etc,$(SYSCONFDIR)),VIRTINTERFACED_SYSCONFDIR=$(SYSCONFDIR)) \
	$(if $(filter-out /var,$(LOCALSTATEDIR)),VIRTINTERFACED_LOCALSTATEDIR=$(LOCALSTATEDIR)) \
	$(if $(filter-out /run,$(RUNSTATEDIR)),VIRTINTERFACED_RUNSTATEDIR=$(RUNSTATEDIR))

# What to install: the daemon that was built, or another, like the static one; and the files of these
# init systems: openrc, sysvinit, runit, s6, systemd, several of them, or none.
BINARY ?= $(TARGET_DIR)/release/virtinterfaced
INIT ?= none
# Debian packages that tests unpack, and do not install.
PACKAGES = $(TARGET_DIR)/packages

# What goes where, as init/install.sh reads it: MODE:FILE:PLACE, or link:TARGET:PLACE.
FILES = 755:$(BINARY):$(SBINDIR)/virtinterfaced \
	644:man/virtinterfaced.8:$(MANDIR)/man8/virtinterfaced.8 \
	644:man/virtinterfaced.conf.5:$(MANDIR)/man5/virtinterfaced.conf.5 \
	644:etc/virtinterfaced.conf:$(SYSCONFDIR)/libvirt/virtinterfaced.conf \
	644:etc/virtinterfaced.aug:$(DATADIR)/augeas/lenses/virtinterfaced.aug \
	644:etc/test_virtinterfaced.aug:$(DATADIR)/augeas/lenses/tests/test_virtinterfaced.aug \
	644:etc/logrotate:/etc/logrotate.d/virtinterfaced \
	755:-:$(LOCALSTATEDIR)/log/libvirt \
	$(foreach init,$(INIT),$(FILES_$(init)))
FILES_openrc = 755:init/openrc/virtinterfaced:/etc/init.d/virtinterfaced \
	755:init/openrc/virtinterfaced-rollback:/etc/init.d/virtinterfaced-rollback \
	755:init/openrc/virtinterfaced-online:/etc/init.d/virtinterfaced-online \
	644:init/openrc/virtinterfaced-online.confd:/etc/conf.d/virtinterfaced-online \
	644:init/openrc/virtinterfaced.confd:/etc/conf.d/virtinterfaced
FILES_sysvinit = 755:init/sysvinit/virtinterfaced:/etc/init.d/virtinterfaced \
	755:init/sysvinit/virtinterfaced-rollback:/etc/init.d/virtinterfaced-rollback \
	755:init/sysvinit/virtinterfaced-online:/etc/init.d/virtinterfaced-online \
	644:init/sysvinit/insserv.conf:/etc/insserv.conf.d/virtinterfaced \
	644:init/sysvinit/virtinterfaced.default:/etc/default/virtinterfaced
# What runsv writes goes into /run/runit, which Void and Debian make at boot, so that /etc can be read-only.
FILES_runit = 755:init/runit/run:$(RUNITDIR)/virtinterfaced/run \
	644:init/runit/conf:$(RUNITDIR)/virtinterfaced/conf \
	link:/run/runit/supervise.virtinterfaced:$(RUNITDIR)/virtinterfaced/supervise \
	link:/run/runit/supervise.virtinterfaced-log:$(RUNITDIR)/virtinterfaced/log/supervise \
	755:init/runit/log/run:$(RUNITDIR)/virtinterfaced/log/run \
	644:init/runit/rollback.sh:$(RUNITCOREDIR)/50-virtinterfaced-rollback.sh
FILES_s6 = 755:init/s6/run:$(S6DIR)/virtinterfaced/run \
	644:init/s6/conf:$(S6DIR)/virtinterfaced/conf \
	644:init/s6/notification-fd:$(S6DIR)/virtinterfaced/notification-fd \
	755:init/s6/data/check:$(S6DIR)/virtinterfaced/data/check \
	755:init/s6/log/run:$(S6DIR)/virtinterfaced/log/run \
	644:init/s6/rollback/type:$(S6RCDIR)/virtinterfaced-rollback/type \
	644:init/s6/rollback/up:$(S6RCDIR)/virtinterfaced-rollback/up
FILES_systemd = 644:init/sysvinit/virtinterfaced.default:/etc/default/virtinterfaced \
	$(foreach unit,.service .socket -ro.socket -admin.socket -rollback.service,\
	644:init/systemd/virtinterfaced$(unit):$(UNITDIR)/virtinterfaced$(unit))
FILES_none =
INITS = openrc sysvinit runit s6 systemd none

INSTALL = DESTDIR="$(DESTDIR)" RECORD="$(RECORD)" CONFDIRS="/etc $(SYSCONFDIR)" SED="$(SED)" \
	init/install.sh
RECORD = $(DATADIR)/virtinterfaced/installed
SED = s|/usr/sbin/virtinterfaced|$(SBINDIR)/virtinterfaced|g;s|/etc/libvirt|$(SYSCONFDIR)/libvirt|g;\
	s|/var/log/libvirt|$(LOCALSTATEDIR)/log/libvirt|g;\
	s|/var/lib/libvirt|$(LOCALSTATEDIR)/lib/libvirt|g;\
	s|/run/libvirt|$(RUNSTATEDIR)/libvirt|g;s|/run/virtinterfaced|$(RUNSTATEDIR)/virtinterfaced|g

# What the tests and the demo use besides Rust: a command or file that shows it is there, and the
# Debian package that has it.
DEMO_NEEDS = virsh:libvirt-clients ip:iproute2 unshare:util-linux kill:procps
CHECK_NEEDS = $(DEMO_NEEDS) \
	virt-admin:libvirt-clients \
	/usr/sbin/libvirtd:libvirt-daemon \
	$(QEMU_DRIVER):libvirt-daemon-driver-qemu \
	systemd-socket-activate:systemd \
	mandoc:mandoc \
	shellcheck:shellcheck \
	/usr/bin/strace:strace \
	busybox:busybox-static \
	/usr/sbin/udhcpc:udhcpc \
	/usr/sbin/dhcpcd:dhcpcd-base \
	/usr/sbin/ifup:ifupdown \
	/usr/sbin/dhclient:isc-dhcp-client \
	/usr/sbin/dnsmasq:dnsmasq-base \
	xmllint:libxml2-utils \
	/usr/bin/python3:python3 \
	/usr/lib/python3/dist-packages/libvirt.py:python3-libvirt \
	/usr/share/libvirt/schemas/interface.rng:libvirt0 \
	$(PERL_SYS_VIRT):libsys-virt-perl
BENCH_NEEDS = $(DEMO_NEEDS) /usr/sbin/libvirtd:libvirt-daemon ifup:ifupdown brctl:bridge-utils
QEMU_DRIVER = /usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so
PERL_SYS_VIRT = $(firstword $(wildcard /usr/lib/*/perl5/*/Sys/Virt.pm) /usr/lib/perl5/Sys/Virt.pm)

VM_NEEDS = qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio ip:iproute2 bridge:iproute2 \
	strip:binutils debootstrap:debootstrap mkfs.ext4:e2fsprogs
CROSS_NEEDS = /usr/bin/rustc:rustc-web /usr/bin/cargo:cargo-web \
	/usr/lib/rustlib/src/rust/library/Cargo.lock:rust-web-src \
	i686-linux-gnu-gcc:gcc-i686-linux-gnu /usr/i686-linux-gnu/lib/crt1.o:libc6-dev-i386-cross \
	aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu \
	/usr/aarch64-linux-gnu/lib/crt1.o:libc6-dev-arm64-cross \
	qemu-i386-static:qemu-user-static

# The machines' disks and the builds are made once, by whoever comes first.
.NOTPARALLEL:
.PHONY: all help static install uninstall dist deb demo check test-kernel check-vm check-openrc \
	check-sysvinit check-cross \
	deps-demo deps-check deps-bench deps-vm deps-cross fmt lint doc test man lint-init check-init \
	check-etc check-install golden fuzz bench clean

all: ## build the daemon (release)
	$(DIRS) $(CARGO) build --release

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

install: $(BINARY) ## install, for INIT=openrc, sysvinit, runit, s6, systemd or none
	$(if $(filter-out $(INITS),$(INIT)),$(error INIT is one of: $(INITS)))
	$(if $(filter 2,$(words $(filter openrc sysvinit,$(INIT)))),$(error both want /etc/init.d/virtinterfaced))
	@$(INSTALL) install $(FILES)

uninstall: ## remove what was installed; what was changed since stays
	@$(INSTALL) uninstall

dist: ## a source archive that builds offline: target/dist/*.tar.gz
	@init/dist.sh $(TARGET_DIR)/dist

deb: $(if $(filter $(TARGET_DIR)/release/%,$(BINARY)),all,$(BINARY)) ## a package for Debian and Devuan: target/deb/*.deb
	@MAKE="$(MAKE)" init/debian/build.sh $(BINARY) $(TARGET_DIR)/deb

$(BINARY):
	$(MAKE) all

static: ## build one static binary, for hosts of any kind: target/static/virtinterfaced
	$(DIRS) tests/static.sh target/static/virtinterfaced

demo: deps-demo all ## show a private host's interfaces with the real virsh
	tests/demo.sh $(TARGET_DIR)/release/virtinterfaced

# From what takes seconds to what takes minutes.
check: deps-check fmt lint doc man lint-init test check-etc check-install check-init test-kernel ## all that must hold, and what CI runs

fmt: ## is the code formatted?
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path tests/fuzz/Cargo.toml

lint: ## does clippy agree?
	$(CARGO) clippy --all-targets -- -D warnings

doc: ## is the documentation whole?
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items

test: ## run every test; those that need root say so, and fail under CI
	$(CARGO) test

test-kernel: deps-vm static ## run the tests that want bonds and VLANs, in a machine of their own
	tests/vm/kernel.sh target/static/virtinterfaced
	VM_KERNEL=ipv6.disable=1 tests/vm/kernel.sh target/static/virtinterfaced no_ipv6

check-vm: test-kernel check-openrc check-sysvinit ## does the daemon live well on hosts that boot and reboot?

check-openrc: deps-vm static ## ... on one with OpenRC
	tests/vm/host.sh openrc target/static/virtinterfaced

check-sysvinit: deps-vm static ## ... on one with sysvinit, and as its package
	$(MAKE) deb BINARY=target/static/virtinterfaced
	tests/vm/host.sh sysvinit target/static/virtinterfaced

check-cross: deps-cross ## do the unit tests pass with 32-bit words, and on aarch64?
	tests/cross.sh

man: ## are the manuals well-formed?
	mandoc -T lint -W warning man/*

lint-init: ## are the init systems' files well-formed?
	tests/init/lint.sh

check-etc: ## does Augeas read and write the configuration?
	tests/etc.sh $(PACKAGES)

check-install: ## do install, uninstall and dist do what they should?
	tests/install.sh

check-init: all ## run the service under each init system, on hosts of its own
	@for init in sysvinit openrc runit s6 busybox deb; do \
		tests/init/host.sh $$init $(BINARY) $(PACKAGES) || exit 1; \
	done

golden: ## rewrite the expected files; read the diff like code
	UPDATE_GOLDEN=1 $(CARGO) test --test golden_netlink --test golden_plan --test golden_rpc --test golden_xml --test netns

fuzz: ## fuzz one target for a while: make fuzz T=frame S=60
	mkdir -p target/fuzz/$(T)
	RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir tests/fuzz $(T) target/fuzz/$(T) \
		tests/fuzz/corpus/$(T) -- -max_total_time=$(S) -max_len=4095 -malloc_limit_mb=64 -timeout=10

bench: deps-bench ## measure, beside libvirt's own driver, ifupdown and bare programs
	$(CARGO) bench --bench bench

clean: ## remove what was built
	$(CARGO) clean

deps-demo:
	@tests/needs.sh $(DEMO_NEEDS)
deps-check:
	@tests/needs.sh $(CHECK_NEEDS)
deps-bench:
	@tests/needs.sh $(BENCH_NEEDS)
deps-vm:
	@tests/needs.sh $(VM_NEEDS)
deps-cross:
	@tests/needs.sh $(CROSS_NEEDS)
