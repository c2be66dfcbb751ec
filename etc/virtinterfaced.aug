(* SPDX-License-Identifier: LGPL-2.1-or-later
   Augeas lens for virtinterfaced.conf(5).

   Each key has its type here, so that what is new in the tree is written as the daemon reads it:
   a string in quotes, an integer without, a list in brackets. A comment behind a value stays in the
   file and is not in the tree. Several statements on a line, which ";" separates, are not read. *)

module Virtinterfaced =
  autoload xfm

  let eol     = del /[ \t]*(#[^\n]*)?\n/ "\n"
  let indent  = del /[ \t]*/ ""
  let equals  = del /[ \t]*=[ \t]*/ " = "
  let space   = del /[ \t\n]*/ " "
  let nothing = del /[ \t\n]*/ ""
  let comma   = del /[ \t\n]*,[ \t\n]*/ ", "

  (* A string has no escapes, so one with a quote is inside quotes of the other kind. *)
  let quote   = del /["']/ "\""
  let double  = del "\"" "\""
  let single  = del "'" "'"
  let plain       = square quote (store /[^"'\n]*/) quote
  let with_single = double . store /[^"\n]*'[^"\n]*/ . double
  let with_double = single . store /[^'\n]*"[^'\n]*/ . single
  let integer     = store /[+-]?[0-9]+/

  let item    = [ seq "item" . plain ] | [ seq "item" . with_single ] | [ seq "item" . with_double ]
  let items   = item . ( comma . item )* . del /([ \t\n]*,)?[ \t\n]*/ " "
  let list    = counter "item" . del "[" "[" . space . items? . del "]" "]"

  let statement (keys:regexp) (value:lens) = [ indent . key keys . equals . value . eol ]

  let string_keys = "unix_sock_group" | "unix_sock_ro_perms" | "unix_sock_rw_perms"
                  | "unix_sock_admin_perms" | "unix_sock_dir"
                  | "auth_unix_ro" | "auth_unix_rw"
                  | "log_filters" | "log_outputs"
                  | "host_uuid" | "host_uuid_source"
                  | "interface_backend" | "dhcp_client"
  let integer_keys = "max_clients" | "max_queued_clients" | "max_anonymous_clients"
                   | "max_client_requests" | "min_workers" | "max_workers" | "prio_workers"
                   | "admin_max_clients" | "admin_max_queued_clients"
                   | "admin_max_client_requests" | "admin_min_workers" | "admin_max_workers"
                   | "keepalive_interval" | "keepalive_count"
                   | "admin_keepalive_interval" | "admin_keepalive_count"
                   | "log_level" | "audit_level" | "audit_logging" | "ovs_timeout"
                   | "dhcp_timeout" | "change_timeout"
  let list_keys = "access_drivers" | "sasl_allowed_username_list"

  let comment = [ indent . label "#comment" . del /#[ \t]*/ "# "
                . store /([^ \t\n].*[^ \t\n]|[^ \t\n])/ . del /[ \t]*\n/ "\n" ]
  let empty   = [ label "#empty" . del /[ \t]*(#[ \t]*)?\n/ "\n" ]

  let lns = ( statement string_keys plain
            | statement string_keys with_single
            | statement string_keys with_double
            | statement integer_keys integer
            | statement list_keys list
            | comment
            | empty )*

  let xfm = transform lns (incl "/etc/libvirt/virtinterfaced.conf")
