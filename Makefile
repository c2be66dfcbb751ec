# SPDX-License-Identifier: LGPL-2.1-or-later
# The tasks of this tree; `make help` lists them.

CARGO ?= cargo
T ?= frame
S ?= 60
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
# Most tests wait most of the time, for the kernel or for a server.
TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))

# Where things are. SYSCONFDIR, LOCALSTATEDIR and RUNSTATEDIR are compiled in, as the places of
# libvirt/virtinterfaced.conf, of log/libvirt and of the sockets and pid files: give `make` and
# `make install` the same ones. Clients look for the sockets below /var/run/libvirt, so another
# RUNSTATEDIR is for clients that are built with the same. Files of an init system go where it reads them:
# below /etc, whatever SYSCONFDIR is, and into UNITDIR. DESTDIR, for packages, goes before each path and is
# not compiled in. Some hosts have another RUNITDIR, RUNITCOREDIR, S6DIR or S6RCDIR.
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

# The files to install: the daemon that was built, or another, like the static one; and the files of these
# init systems: openrc, sysvinit, runit, s6, systemd, several of them, or none.
BINARY ?= $(TARGET_DIR)/release/virtinterfaced
INIT ?= none
# Debian packages that tests unpack, and do not install.
PACKAGES = $(TARGET_DIR)/packages

# The name of the daemon, its manual and its services, where another package has files of that name:
# up to 15 characters, as the kernel keeps no more of a process's name. The configuration and the sockets
# keep theirs, and the lens for Augeas is left out, as libvirt has one for the same file.
PROGRAM ?= virtinterfaced

# The files and their places, as init/install.sh reads them: MODE:FILE:PLACE, or link:TARGET:PLACE.
FILES = 755:$(BINARY):$(SBINDIR)/$(PROGRAM) \
	644:man/virtinterfaced.8:$(MANDIR)/man8/$(PROGRAM).8 \
	644:man/virtinterfaced.conf.5:$(MANDIR)/man5/virtinterfaced.conf.5 \
	644:etc/virtinterfaced.conf:$(SYSCONFDIR)/libvirt/virtinterfaced.conf \
	$(if $(RENAMED),,$(FILES_augeas)) \
	644:etc/logrotate:/etc/logrotate.d/$(PROGRAM) \
	755:-:$(LOCALSTATEDIR)/log/libvirt \
	$(foreach init,$(INIT),$(FILES_$(init)))
RENAMED = $(filter-out virtinterfaced,$(PROGRAM))
FILES_augeas = 644:etc/virtinterfaced.aug:$(DATADIR)/augeas/lenses/virtinterfaced.aug \
	644:etc/test_virtinterfaced.aug:$(DATADIR)/augeas/lenses/tests/test_virtinterfaced.aug
FILES_openrc = 755:init/openrc/virtinterfaced:/etc/init.d/$(PROGRAM) \
	755:init/openrc/virtinterfaced-rollback:/etc/init.d/$(PROGRAM)-rollback \
	755:init/openrc/virtinterfaced-online:/etc/init.d/$(PROGRAM)-online \
	644:init/openrc/virtinterfaced-online.confd:/etc/conf.d/$(PROGRAM)-online \
	644:init/openrc/virtinterfaced.confd:/etc/conf.d/$(PROGRAM)
FILES_sysvinit = 755:init/sysvinit/virtinterfaced:/etc/init.d/$(PROGRAM) \
	755:init/sysvinit/virtinterfaced-rollback:/etc/init.d/$(PROGRAM)-rollback \
	755:init/sysvinit/virtinterfaced-online:/etc/init.d/$(PROGRAM)-online \
	644:init/sysvinit/insserv.conf:/etc/insserv.conf.d/$(PROGRAM) \
	644:init/sysvinit/virtinterfaced.default:/etc/default/$(PROGRAM)
# The files that runsv writes go into /run/runit, which Void and Debian make at boot, so that /etc can be read-only.
FILES_runit = 755:init/runit/run:$(RUNITDIR)/$(PROGRAM)/run \
	755:init/runit/finish:$(RUNITDIR)/$(PROGRAM)/finish \
	755:init/runit/control/h:$(RUNITDIR)/$(PROGRAM)/control/h \
	644:init/runit/conf:$(RUNITDIR)/$(PROGRAM)/conf \
	link:/run/runit/supervise.$(PROGRAM):$(RUNITDIR)/$(PROGRAM)/supervise \
	link:/run/runit/supervise.$(PROGRAM)-log:$(RUNITDIR)/$(PROGRAM)/log/supervise \
	755:init/runit/log/run:$(RUNITDIR)/$(PROGRAM)/log/run \
	644:init/runit/rollback.sh:$(RUNITCOREDIR)/50-$(PROGRAM)-rollback.sh
FILES_s6 = 755:init/s6/run:$(S6DIR)/$(PROGRAM)/run \
	755:init/s6/finish:$(S6DIR)/$(PROGRAM)/finish \
	644:init/s6/conf:$(S6DIR)/$(PROGRAM)/conf \
	644:init/s6/notification-fd:$(S6DIR)/$(PROGRAM)/notification-fd \
	755:init/s6/data/check:$(S6DIR)/$(PROGRAM)/data/check \
	755:init/s6/log/run:$(S6DIR)/$(PROGRAM)/log/run \
	644:init/s6/rc/type:$(S6RCDIR)/$(PROGRAM)/type \
	755:init/s6/run:$(S6RCDIR)/$(PROGRAM)/run \
	755:init/s6/finish:$(S6RCDIR)/$(PROGRAM)/finish \
	644:init/s6/notification-fd:$(S6RCDIR)/$(PROGRAM)/notification-fd \
	755:init/s6/data/check:$(S6RCDIR)/$(PROGRAM)/data/check \
	644:init/s6/conf:$(S6RCDIR)/$(PROGRAM)/data/conf \
	644:init/s6/rc/dependencies:$(S6RCDIR)/$(PROGRAM)/dependencies \
	644:init/s6/rc/producer-for:$(S6RCDIR)/$(PROGRAM)/producer-for \
	644:init/s6/rc-log/type:$(S6RCDIR)/$(PROGRAM)-log/type \
	755:init/s6/log/run:$(S6RCDIR)/$(PROGRAM)-log/run \
	644:init/s6/rc-log/consumer-for:$(S6RCDIR)/$(PROGRAM)-log/consumer-for \
	644:init/s6/rc-log/pipeline-name:$(S6RCDIR)/$(PROGRAM)-log/pipeline-name \
	644:init/s6/rollback/type:$(S6RCDIR)/$(PROGRAM)-rollback/type \
	644:init/s6/rollback/up:$(S6RCDIR)/$(PROGRAM)-rollback/up
FILES_systemd = 644:init/sysvinit/virtinterfaced.default:/etc/default/$(PROGRAM) \
	$(foreach unit,.service .socket -ro.socket -admin.socket -rollback.service,\
	644:init/systemd/virtinterfaced$(unit):$(UNITDIR)/$(PROGRAM)$(unit))
FILES_none =
INITS = openrc sysvinit runit s6 systemd none

INSTALL = DESTDIR="$(DESTDIR)" RECORD="$(RECORD)" CONFDIRS="/etc $(SYSCONFDIR)" SED="$(SED)" \
	PIDFILE="$(RUNSTATEDIR)/virtinterfaced.pid" \
	init/install.sh
RECORD = $(DATADIR)/virtinterfaced/installed
SED = s|/usr/sbin/virtinterfaced|$(SBINDIR)/$(PROGRAM)|g;s|/etc/libvirt|$(SYSCONFDIR)/libvirt|g;\
	s|/var/log/libvirt|$(LOCALSTATEDIR)/log/libvirt|g;\
	s|/var/lib/libvirt|$(LOCALSTATEDIR)/lib/libvirt|g;\
	s|/run/libvirt|$(RUNSTATEDIR)/libvirt|g;s|/run/virtinterfaced|$(RUNSTATEDIR)/virtinterfaced|g$(if $(RENAMED),;$(RENAME))
# The names that services have and use for each other. A whole line is a file of s6-rc's.
RENAME = s|/etc/default/virtinterfaced|/etc/default/$(PROGRAM)|g;\
	s|/etc/conf.d/virtinterfaced|/etc/conf.d/$(PROGRAM)|g;\
	s|/etc/insserv.conf.d/virtinterfaced|/etc/insserv.conf.d/$(PROGRAM)|g;\
	s|virtinterfaced-online|$(PROGRAM)-online|g;s|virtinterfaced-rollback|$(PROGRAM)-rollback|g;\
	/ Provides:/s|virtinterfaced|$(PROGRAM)|;/ X-Start-Before:/s|virtinterfaced|$(PROGRAM)|;\
	/ Required-Start:/s|virtinterfaced|$(PROGRAM)|;/need virt/s|virtinterfaced|$(PROGRAM)|;\
	/^name=/s|virtinterfaced|$(PROGRAM)|;/before net/s|virtinterfaced|$(PROGRAM)|;\
	s|^virtinterfaced\(-[a-z]*\)*$$|$(PROGRAM)\1|;\
	/FileDescriptorName/!s/virtinterfaced\(-[a-z]*\)*\.\(service\|socket\)/$(PROGRAM)\1.\2/g

# The programs that the tests and the demo use besides Rust: a command or file to look for, and the
# Debian package that has it.
DEMO_NEEDS = virsh:libvirt-clients ip:iproute2 unshare:util-linux kill:procps
CHECK_NEEDS = $(DEMO_NEEDS) \
	virt-admin:libvirt-clients \
	/usr/sbin/libvirtd:libvirt-daemon \
	$(QEMU_DRIVER):libvirt-daemon-driver-qemu \
	/usr/bin/qemu-system-x86_64:qemu-system-x86 \
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
BITS32_NEEDS = /usr/bin/rustc:rustc-web /usr/bin/cargo:cargo-web \
	/usr/lib/rustlib/src/rust/library/Cargo.lock:rust-web-src \
	i686-linux-gnu-gcc:gcc-i686-linux-gnu /usr/i686-linux-gnu/lib/crt1.o:libc6-dev-i386-cross

# The machines' disks and the builds are made once, by the first target that needs them.
.NOTPARALLEL:
.PHONY: all help static install uninstall dist deb demo check check-all test-kernel check-vm \
	check-openrc check-sysvinit check-advisories check-oldest check-32bit check-cross vm-images \
	deps-demo deps-check deps-bench deps-vm deps-32bit fmt lint doc test man lint-init check-init \
	check-etc check-install golden fuzz bench clean

all: ## build the daemon (release)
	$(DIRS) $(CARGO) build --release

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

install: $(BINARY) ## install, for INIT=openrc, sysvinit, runit, s6, systemd or none
	$(if $(filter-out $(INITS),$(INIT)),$(error INIT is one of: $(INITS)))
	$(if $(shell printf %s '$(PROGRAM)' | grep -vx '[a-zA-Z0-9._-]\{1,15\}'),$(error PROGRAM is a name of up to 15 characters))
	$(if $(filter 2,$(words $(filter openrc sysvinit,$(INIT)))),$(error both want /etc/init.d/virtinterfaced))
	@$(INSTALL) install $(FILES)

uninstall: ## stop it and remove what was installed; what was changed since stays
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

# In the order in which they fail soonest. The checks of SLOW_1 run beside those of SLOW_2, as a machine of
# qemu and the linking of a release take one processor each.
QUICK = fmt lint doc man lint-init
SLOW_1 = static test-kernel check-openrc check-etc check-install
SLOW_2 = check-advisories check-32bit check-oldest check-init check-sysvinit
check: deps-check deps-32bit $(QUICK) test $(filter-out check-openrc check-sysvinit,$(SLOW_1) $(SLOW_2)) ## all that must hold before a commit

check-all: deps-check deps-32bit deps-vm $(QUICK) test vm-images ## check and check-vm, as CI runs them: two things at a time
	tests/beside.sh "$(MAKE)" "$(SLOW_1)" "$(SLOW_2)"

fmt: ## is the code formatted?
	$(CARGO) fmt --all --check
	$(CARGO) fmt --check --manifest-path tests/fuzz/Cargo.toml

lint: ## does clippy agree?
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc: ## is the documentation whole?
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

test: ## run every test; those that need root say so, and fail under CI
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test

test-kernel: deps-vm static ## run the tests that want bonds and VLANs, in a machine of their own
	tests/vm/kernel.sh target/static/virtinterfaced
	VM_KERNEL=ipv6.disable=1 tests/vm/kernel.sh target/static/virtinterfaced no_ipv6

check-vm: test-kernel check-openrc check-sysvinit ## does the daemon live well on hosts that boot and reboot?

check-openrc: deps-vm static ## ... on one with OpenRC
	tests/vm/host.sh openrc target/static/virtinterfaced

check-sysvinit: deps-vm static ## ... on one with sysvinit, and as its package
	$(MAKE) deb BINARY=target/static/virtinterfaced
	tests/vm/host.sh sysvinit target/static/virtinterfaced

vm-images: deps-vm ## fetch the kernel of the machines and make their disks, unless they are there
	tests/vm/kernel-image.sh
	tests/vm/host-images.sh
	tests/busybox.sh

check-32bit: deps-32bit ## do the tests of single modules pass with 32-bit words?
	tests/cross.sh i686

check-cross: deps-32bit ## ... and on aarch64 as well?
	tests/cross.sh

check-advisories: ## has a crate of the daemon a weakness that RustSec knows today? Needs a network
	tests/advisories.sh $(TARGET_DIR)/advisory-db

check-oldest: ## does the oldest compiler that Cargo.toml permits compile it, and do unit tests pass?
	tests/oldest.sh $(PACKAGES)

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
		tests/init/throwaway-host.sh $$init $(BINARY) $(PACKAGES) || exit 1; \
	done

golden: ## rewrite the expected files; read the diff like code
	UPDATE_GOLDEN=1 $(CARGO) test --test golden_ifupdown --test golden_netlink --test golden_plan --test golden_rpc --test golden_xml --test netns

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
deps-32bit:
	@tests/needs.sh $(BITS32_NEEDS)
