# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A part of runit's stage 1, as Void's has them in /etc/runit/core-services, which reads it as its own
# text: rolls back a change of the network that an earlier boot left open. Services run in stage 2, all
# at once, so this is what comes before the network. A host whose stage 1 is one file,
# /etc/runit/1, takes the line in there, behind its local file systems.
[ ! -x /usr/sbin/virtinterfaced ] || /usr/sbin/virtinterfaced --rollback-stale
