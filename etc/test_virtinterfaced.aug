(* SPDX-License-Identifier: LGPL-2.1-or-later
   What the lens for virtinterfaced.conf makes of it, and what it writes. *)

module Test_virtinterfaced =

  let conf = "# A comment
#max_clients = 5000
#

max_clients = 20   # for now
 unix_sock_group='libvirt'
log_outputs = \"3:file:/var/log/it's\"
auth_unix_rw = ''
access_drivers = [ ]
keepalive_interval = -1
sasl_allowed_username_list = [
  \"root\",
  '*@example.org' ,
]
"

  test Virtinterfaced.lns get conf =
    { "#comment" = "A comment" }
    { "#comment" = "max_clients = 5000" }
    { "#empty" }
    { "#empty" }
    { "max_clients" = "20" }
    { "unix_sock_group" = "libvirt" }
    { "log_outputs" = "3:file:/var/log/it's" }
    { "auth_unix_rw" = "" }
    { "access_drivers" }
    { "keepalive_interval" = "-1" }
    { "sasl_allowed_username_list"
      { "1" = "root" }
      { "2" = "*@example.org" } }

  (* A change leaves everything else as it is. *)
  test Virtinterfaced.lns put "max_clients = 20   # for now\nunix_sock_group='libvirt'\n" after
    set "/max_clients" "30" ; set "/unix_sock_group" "staff"
    = "max_clients = 30   # for now\nunix_sock_group='staff'\n"

  (* A new key is written by its type. *)
  test Virtinterfaced.lns put "" after
    set "/max_clients" "30" ; set "/unix_sock_group" "staff" ;
    set "/log_filters" "1:say \"hello\"" ;
    set "/access_drivers/1" "none" ; set "/access_drivers/2" "polkit"
    = "max_clients = 30
unix_sock_group = \"staff\"
log_filters = '1:say \"hello\"'
access_drivers = [ \"none\", \"polkit\" ]
"

  (* Neither a value of the wrong type nor an unknown key gets in. *)
  test Virtinterfaced.lns put "" after set "/max_clients" "many" = *
  test Virtinterfaced.lns put "" after set "/max_client" "30" = *
  test Virtinterfaced.lns get "max_clients = \"20\"\n" = *
  test Virtinterfaced.lns get "unix_sock_group = 'staff\"\n" = *
