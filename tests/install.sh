#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Tests that `make install` installs every file in its place, that `make uninstall` restores the
# host, and that the archive of `make dist` builds without a network. Nothing is installed on this
# host.
set -eu

cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# A name with a blank, as a packager's directory may have one.
root="$folder/a host"
conf=$root/etc/libvirt/virtinterfaced.conf

fail() {
    echo "FAILED: $*"
    exit 1
}

# The installed daemon is another program, which makes no difference here.
run() { make -s DESTDIR="$root" BINARY=/bin/true PREFIX=/usr "$@" >"$folder/said" 2>&1; }
host() { rm -rf "$root" && mkdir -p "$root/etc/init.d" "$root/usr" && echo 1 >"$root/etc/fstab"; }
files() {
    (cd "$root" && find . -type f -printf '%m %P\n' -o -type l -printf 'link %P\n' | sort -k 2)
}
tree() { (cd "$root" && find . | sort); }

ALWAYS="644 etc/libvirt/virtinterfaced.conf
644 etc/logrotate.d/virtinterfaced
755 usr/sbin/virtinterfaced
644 usr/share/augeas/lenses/tests/test_virtinterfaced.aug
644 usr/share/augeas/lenses/virtinterfaced.aug
644 usr/share/man/man5/virtinterfaced.conf.5
644 usr/share/man/man8/virtinterfaced.8
644 usr/share/virtinterfaced/installed
644 etc/fstab"
OPENRC="755 etc/init.d/virtinterfaced
755 etc/init.d/virtinterfaced-rollback
755 etc/init.d/virtinterfaced-online
644 etc/conf.d/virtinterfaced-online
644 etc/conf.d/virtinterfaced"
SYSVINIT="755 etc/init.d/virtinterfaced
755 etc/init.d/virtinterfaced-rollback
755 etc/init.d/virtinterfaced-online
644 etc/insserv.conf.d/virtinterfaced
644 etc/default/virtinterfaced"
RUNIT="755 etc/sv/virtinterfaced/run
755 etc/sv/virtinterfaced/control/h
755 etc/sv/virtinterfaced/finish
755 etc/sv/virtinterfaced/log/run
link etc/sv/virtinterfaced/supervise
link etc/sv/virtinterfaced/log/supervise
644 etc/runit/core-services/50-virtinterfaced-rollback.sh
644 etc/sv/virtinterfaced/conf"
S6="755 etc/s6/sv/virtinterfaced/run
755 etc/s6/sv/virtinterfaced/data/check
755 etc/s6/sv/virtinterfaced/log/run
644 etc/s6/sv/virtinterfaced/conf
644 etc/s6/sv/virtinterfaced/notification-fd
755 etc/s6/sv/virtinterfaced/finish
644 etc/s6-rc/source/virtinterfaced/type
755 etc/s6-rc/source/virtinterfaced/run
755 etc/s6-rc/source/virtinterfaced/finish
644 etc/s6-rc/source/virtinterfaced/notification-fd
755 etc/s6-rc/source/virtinterfaced/data/check
644 etc/s6-rc/source/virtinterfaced/data/conf
644 etc/s6-rc/source/virtinterfaced/dependencies
644 etc/s6-rc/source/virtinterfaced/producer-for
644 etc/s6-rc/source/virtinterfaced-log/type
755 etc/s6-rc/source/virtinterfaced-log/run
644 etc/s6-rc/source/virtinterfaced-log/consumer-for
644 etc/s6-rc/source/virtinterfaced-log/pipeline-name
644 etc/s6-rc/source/virtinterfaced-rollback/type
644 etc/s6-rc/source/virtinterfaced-rollback/up"
SYSTEMD="644 etc/default/virtinterfaced
644 usr/lib/systemd/system/virtinterfaced.service
644 usr/lib/systemd/system/virtinterfaced.socket
644 usr/lib/systemd/system/virtinterfaced-ro.socket
644 usr/lib/systemd/system/virtinterfaced-admin.socket
644 usr/lib/systemd/system/virtinterfaced-rollback.service"

# installs INIT FILES: installs exactly those files, the same when it is repeated, and none remain
# after an uninstall.
installs() {
    host
    before=$(tree)
    run install INIT="$1" || fail "install INIT=$1: $(cat "$folder/said")"
    printf '%s\n' "$ALWAYS" "$2" | grep . | sort -uk 2 >"$folder/wanted"
    files | diff "$folder/wanted" - || fail "INIT=$1: other files than those"
    once=$(cd "$root" && find . -type f -exec cksum {} + | sort)
    run install INIT="$1" || fail "twice: $(cat "$folder/said")"
    [ ! -s "$folder/said" ] || fail "twice says: $(cat "$folder/said")"
    [ "$(cd "$root" && find . -type f -exec cksum {} + | sort)" = "$once" ] || fail "twice differs"
    run uninstall || fail "uninstall: $(cat "$folder/said")"
    [ "$(tree)" = "$before" ] || fail "INIT=$1: uninstalling leaves $(tree)"
    echo "ok: INIT=$1"
}
installs none ""
installs openrc "$OPENRC"
installs sysvinit "$SYSVINIT"
installs runit "$RUNIT"
installs s6 "$S6"
installs systemd "$SYSTEMD"
installs "sysvinit systemd runit" "$SYSVINIT
$SYSTEMD
$RUNIT"
host
! run install INIT=upstart || fail "INIT=upstart is taken"
! run uninstall || fail "what was not installed is uninstalled"

# The administrator's changes stay, and new versions are installed beside them; both runs report it.
run install INIT=sysvinit
echo "max_clients = 77" >>"$conf"
echo "exit 0" >>"$root/etc/init.d/virtinterfaced"
cp -r "$root/etc" "$folder/changed"
run install INIT=sysvinit
[ "$(grep -c 'stays so' "$folder/said")" = 2 ] || fail "installing says: $(cat "$folder/said")"
cmp etc/virtinterfaced.conf "$conf.new"
[ ! -x "$root/etc/init.d/virtinterfaced.new" ] || fail "the new script counts as a service"
run uninstall
[ "$(grep -c 'and stays' "$folder/said")" = 2 ] || fail "uninstalling says: $(cat "$folder/said")"
cmp "$conf" "$folder/changed/libvirt/virtinterfaced.conf"
cmp "$root/etc/init.d/virtinterfaced" "$folder/changed/init.d/virtinterfaced"
[ "$(files | wc -l)" = 3 ] || fail "more than what was changed is left: $(files)"
run install
cmp "$conf" "$folder/changed/libvirt/virtinterfaced.conf" || fail "a file from before is overwritten"
echo "ok: what was changed stays"

# Unchanged files are replaced by the new version.
host
run install
run install RUNSTATEDIR=/var/run
grep -q '"/var/run/libvirt"' "$conf" || fail "an unchanged configuration stays old"
[ ! -e "$conf.new" ] || fail "an unchanged configuration counts as changed"
echo "ok: what was not changed is replaced"

# Another program's daemon of that name is neither replaced nor, later, removed.
host
mkdir -p "$root/usr/sbin"
echo "another's" >"$root/usr/sbin/virtinterfaced"
before=$(tree)
! run install INIT=none || fail "another's daemon is replaced"
grep -q "/usr/sbin/virtinterfaced was not installed from here" "$folder/said" || fail "no word of it"
[ "$(tree)" = "$before" ] || fail "something was installed all the same"
[ "$(cat "$root/usr/sbin/virtinterfaced")" = "another's" ] || fail "another's daemon is another"
echo "ok: what is another's is left alone"

# If another program has a daemon of that name, ours and its services can have another name.
run install INIT="sysvinit runit s6 systemd" PROGRAM=hostifd || fail "PROGRAM: $(cat "$folder/said")"
[ "$(cat "$root/usr/sbin/virtinterfaced")" = "another's" ] || fail "PROGRAM: another's daemon is another"
[ -x "$root/usr/sbin/hostifd" ] || fail "PROGRAM: no daemon"
kept='/(etc/libvirt/virtinterfaced.conf|usr/sbin/virtinterfaced|.*/virtinterfaced.conf.5|usr/share/virtinterfaced)'
! (cd "$root" && find . -name '*virtinterfaced*') | grep -vE "$kept\$" || fail "PROGRAM: a file keeps its name"
! grep -rEI --exclude=installed '/(usr/sbin|etc/default)/virtinterfaced' "$root/etc" "$root/usr/lib" ||
    fail "PROGRAM: a service has the other daemon"
! grep -rE '^# (Provides|X-Start-Before|Required-Start):.*virtinterfaced' "$root/etc/init.d" || fail "PROGRAM: a script's name"
! grep -rhE 'virtinterfaced[a-z-]*\.(service|socket)' "$root/usr/lib" | grep -v ^FileDescriptorName= ||
    fail "PROGRAM: a unit's name"
! grep -rlxE 'virtinterfaced(-[a-z]*)?' "$root/etc/s6-rc" || fail "PROGRAM: a name of s6-rc"
run uninstall
[ "$(tree)" = "$before" ] || fail "PROGRAM: uninstalling leaves $(tree)"
run install INIT=openrc PROGRAM=hostifd
! grep -rE '^(name=|command=|	before|	need).*virtinterfaced' "$root/etc/init.d" || fail "PROGRAM: OpenRC's name"
! run install PROGRAM=sixteen-letters- || fail "PROGRAM: a name that the kernel cuts is taken"
echo "ok: another name for the program"

# With other directories, no file contains the default ones.
host
run install INIT="openrc runit s6 systemd" PREFIX=/opt SYSCONFDIR=/opt/etc LOCALSTATEDIR=/opt/var \
    RUNSTATEDIR=/opt/run UNITDIR=/opt/units
usual='(^|[^t])(/etc/libvirt|/var/(lib|log)/libvirt|/(var/)?run/(libvirt|virtinterfaced)|/usr/sbin/virt)'
! grep -rEI --exclude=installed "$usual" "$root" || fail "those are the usual directories"
[ -s "$root/opt/etc/libvirt/virtinterfaced.conf" ] || fail "SYSCONFDIR has no configuration"
run uninstall PREFIX=/opt
[ "$(files)" = "644 etc/fstab" ] || fail "uninstalling leaves $(files)"
echo "ok: other directories"

[ -e .git ] || { echo "SKIP: the archive: needs a git clone" && exit 0; }
# The archive builds without cargo's cache, and for the given directories.
archive=$(init/dist.sh "$folder") || fail "no archive: $archive"
tar -xzf "$archive" -C "$folder"
[ "$(find "$folder" -maxdepth 1 -name 'virtinterfaced-*' -type d | wc -l)" = 1 ]
cd "$folder"/virtinterfaced-*/
for name in $(git -C "$OLDPWD" ls-files); do [ -e "$name" ] || fail "the archive lacks $name"; done
CARGO_HOME=$folder/nothing CARGO_TARGET_DIR=$folder/target VIRTINTERFACED_SYSCONFDIR=/opt/etc \
    VIRTINTERFACED_RUNSTATEDIR=/opt/run "${CARGO:-cargo}" build --quiet --offline --frozen
if [ "$(id -u)" = 0 ]; then
    "$folder/target/debug/virtinterfaced" --help 2>"$folder/help"
    grep -q '/opt/etc/libvirt/virtinterfaced.conf' "$folder/help" || fail "$(cat "$folder/help")"
    grep -q '/opt/run/libvirt/virtinterfaced-sock' "$folder/help" || fail "$(cat "$folder/help")"
fi
echo "ok: the archive builds offline, $(($(wc -c <"$archive") / 1024)) KiB"
# The static build installs its requirements, as `make static` does anywhere.
if [ -d /usr/lib/rustlib/src/rust/library/vendor ] ||
    { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }; then
    # Other tests cover the size.
    CARGO_HOME=$folder/nothing CARGO_TARGET_DIR=$folder/target CARGO_PROFILE_RELEASE_LTO=off \
        make -s static >"$folder/said" 2>&1 || fail "no static daemon: $(tail -n 5 "$folder/said")"
    echo "ok: so does its static daemon"
else
    echo "SKIP: its static daemon: there are no sources of Rust's library"
fi
