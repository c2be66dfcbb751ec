#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Puts files where they belong, and takes them away again; `make install` and `uninstall` call it.
#
#   install.sh install MODE:FILE:PLACE...    FILE is "-" where PLACE is a directory; MODE is "link"
#                                            where PLACE is a symbolic link to FILE
#   install.sh uninstall
#
# PIDFILE is the daemon's. DESTDIR goes before each place. SED is a script that replaces directories in texts. RECORD is
# a file below DESTDIR that lists the installed files with checksums; if the variable is empty no list is kept.
#
# Files below CONFDIRS belong to the administrator. A file there that existed before, or was changed since it was
# installed, is left alone, and the new one comes beside it as PLACE.new. Uninstalling removes the files that are
# unchanged since their installation, and the directories that were made if they are empty. It first stops and
# disables services on this host, or prints what remains to be done.
set -eu

command -v sha256sum >/dev/null || { echo "sha256sum is missing" >&2 && exit 1; }
record=${RECORD:+$DESTDIR$RECORD}
new=$(mktemp) lines=$(mktemp)
trap 'rm -f "$new" "$lines"' EXIT

sum() { sha256sum <"$DESTDIR$1" | cut -d ' ' -f 1; }

# True if a file is unchanged since it was installed.
as_installed() {
    [ -n "$record" ] && [ -f "$record" ] || return 1
    grep -qxF "file $(sum "$1") $1" "$record"
}

is_config() {
    for dir in $CONFDIRS; do
        case $1 in "$dir"/*) return 0 ;; esac
    done
    return 1
}

# True if a place is taken by a file that this script did not install. Files of the administrator are handled later.
is_somebody_elses() {
    [ -n "$record" ] && [ -f "$DESTDIR$1" ] && ! is_config "$1" || return 1
    [ ! -f "$record" ] || ! awk -v place="$1" '$3 == place { found = 1 } END { exit !found }' "$record"
}

make_dir() {
    [ ! -d "$DESTDIR$1" ] || return 0
    case $1 in /*/*) make_dir "${1%/*}" 755 ;; esac
    mkdir -p "$DESTDIR/"
    mkdir -m "$2" "$DESTDIR$1"
    echo "dir - $1" >>"$lines"
}

# install_file MODE FILE PLACE
install_file() {
    mode=$1 place=$3
    make_dir "${place%/*}" 755
    # Only texts name directories in a way that can be replaced.
    # shellcheck disable=SC2094
    if tr -d '\0' <"$2" | cmp -s - "$2"; then
        sed "$SED" "$2" >"$new"
    else
        cat "$2" >"$new"
    fi
    if is_config "$place" && [ -e "$DESTDIR$place" ] && ! cmp -s "$new" "$DESTDIR$place" &&
        ! as_installed "$place"; then
        echo "$place is not as it was installed, and stays so; ours is $place.new" >&2
        # No program: init systems would take it for another service.
        place=$place.new mode=644
    fi
    # By a rename, as a running daemon keeps the file that it was started from.
    cp "$new" "$DESTDIR$place.tmp"
    chmod "$mode" "$DESTDIR$place.tmp"
    mv -f "$DESTDIR$place.tmp" "$DESTDIR$place"
    echo "file $(sum "$place") $place" >>"$lines"
}

# install_link TARGET PLACE
install_link() {
    make_dir "${2%/*}" 755
    if [ -e "$DESTDIR$2" ] || [ -L "$DESTDIR$2" ]; then
        [ "$(readlink "$DESTDIR$2")" = "$1" ] || { echo "$2 is no link to $1, and stays so" >&2 && return 0; }
    else
        ln -s "$1" "$DESTDIR$2"
    fi
    echo "link $1 $2" >>"$lines"
}

# Keeps the lines of the record about places that were not installed again.
write_record() {
    [ -n "$record" ] || return 0
    make_dir "${RECORD%/*}" 755
    touch "$record"
    cat "$record" "$lines" | awk '{ last[$3] = $0 } END { for (place in last) print last[place] }' |
        sort -k 3 >"$new"
    cat "$new" >"$record"
    chmod 644 "$record"
}

# Stops and disables the service that a file on this host belongs to, by its init system's commands, before the
# file is removed. For supervisors, the directories that link to it are not known.
retire() {
    name=${1##*/}
    case $1 in
    /etc/init.d/*)
        if head -n 1 "$1" | grep -q openrc-run; then
            rc-service --ifstarted "$name" stop || true
            rc-update --all del "$name" || true
        else
            "$1" stop || true
            ! command -v update-rc.d >/dev/null || update-rc.d -f "$name" remove || true
        fi
        ;;
    *.service | *.socket)
        [ ! -d /run/systemd/system ] || systemctl disable --now "$name" || true
        ;;
    */producer-for)
        name=${1%/producer-for} name=${name##*/}
        [ ! -d /run/s6-rc ] || echo "compile the database of s6-rc anew, without $name, and update it" >&2
        ;;
    */log/run) ;;
    */run)
        [ -e "${1%/run}/type" ] || echo "${1%/run}: end what supervises it, and remove links to it" >&2
        ;;
    esac
}

# Names a daemon that has lost its file: init may start it by a line of its inittab.
name_survivor() {
    { read -r pid <"$PIDFILE" && file=$(readlink "/proc/$pid/exe"); } 2>/dev/null || return 0
    case $file in
    *" (deleted)") echo "the daemon still runs as process $pid: take it out of /etc/inittab and stop it" >&2 ;;
    esac
}

uninstall() {
    [ -f "$record" ] || { echo "nothing is installed: no $record" >&2 && exit 1; }
    if [ -z "$DESTDIR" ]; then
        while read -r kind was place; do
            [ "$kind" != file ] || [ ! -e "$place" ] || retire "$place"
        done <"$record"
    fi
    while read -r kind was place; do
        if [ "$kind" = link ] && [ "$(readlink "$DESTDIR$place")" = "$was" ]; then
            rm -f "$DESTDIR$place"
        fi
        if [ "$kind" != file ] || [ ! -e "$DESTDIR$place" ]; then
            continue
        fi
        if [ "$(sum "$place")" = "$was" ]; then
            rm -f "$DESTDIR$place"
        else
            echo "$place is not as it was installed, and stays" >&2
        fi
    done <"$record"
    sort -r -k 3 "$record" >"$lines"
    rm -f "$record"
    while read -r kind was place; do
        [ "$kind" != dir ] || rmdir "$DESTDIR$place" 2>/dev/null || true
    done <"$lines"
    [ -n "$DESTDIR" ] || name_survivor
}

command=$1
shift
case $command in
install)
    # Before anything is copied.
    for item in "$@"; do
        item=${item#*:}
        is_somebody_elses "${item#*:}" || continue
        echo "$DESTDIR${item#*:} was not installed from here; remove it, or choose another PREFIX" >&2
        exit 1
    done
    for item in "$@"; do
        mode=${item%%:*} item=${item#*:}
        case $item in
        -:*) make_dir "${item#*:}" "$mode" ;;
        *)
            case $mode in
            link) install_link "${item%%:*}" "${item#*:}" ;;
            *) install_file "$mode" "${item%%:*}" "${item#*:}" ;;
            esac
            ;;
        esac
    done
    write_record
    ;;
uninstall) uninstall ;;
esac
