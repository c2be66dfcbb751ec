# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls every changing function of libvirt-python; compares results with `ip -json -details`."""

import json
import subprocess
import sys

import libvirt

ACTIVE = libvirt.VIR_CONNECT_LIST_INTERFACES_ACTIVE
INACTIVE = libvirt.VIR_CONNECT_LIST_INTERFACES_INACTIVE
DEFINITION = libvirt.VIR_INTERFACE_XML_INACTIVE
VALIDATE = libvirt.VIR_INTERFACE_DEFINE_VALIDATE

ETH0 = """<interface type='ethernet' name='eth0'>
  <protocol family='ipv4'>
    <ip address='192.0.2.2' prefix='24'/>
  </protocol>
</interface>
"""

BR0 = """<interface type='bridge' name='br0'>
  <bridge stp='off'>
    <interface type='ethernet' name='eth0'>
    </interface>
  </bridge>
</interface>
"""


def links():
    shown = json.loads(subprocess.check_output(["ip", "-json", "-details", "address", "show"]))
    return {link["ifname"]: link for link in shown}


def same(what, got, want):
    if got != want:
        sys.exit(f"{what}:\n  got  {got!r}\n  want {want!r}")


def refused(what, call, code, fields=None, domain=libvirt.VIR_FROM_INTERFACE):
    """`fields` are str1, str2, int1 and int2."""
    try:
        got = call()
    except libvirt.libvirtError as err:
        same(what, (err.get_error_code(), err.get_error_domain()), (code, domain))
        got = (err.get_str1(), err.get_str2(), err.get_int1(), err.get_int2())
        if fields is not None:
            same(f"fields of {what}", got, fields)
        same(f"level of {what}", err.get_error_level(), 2)
    else:
        sys.exit(f"{what}: not refused, but {got!r}")


def names(connection, flags):
    return sorted(interface.name() for interface in connection.listAllInterfaces(flags))


def check_life(connection):
    """Tests define, create, destroy and undefine."""
    interface = connection.interfaceDefineXML(ETH0, 0)
    same("name", interface.name(), "eth0")
    same("MAC", interface.MACString(), "52:54:00:00:00:01")
    same("definition", interface.XMLDesc(DEFINITION), ETH0)
    same("state", interface.isActive(), 0)
    same("inactive", "eth0" in names(connection, INACTIVE), True)
    same("create", interface.create(0), 0)
    same("state", interface.isActive(), 1)
    same("active", "eth0" in names(connection, ACTIVE), True)
    same("inactive", "eth0" in names(connection, INACTIVE), False)
    found = [(info["local"], info["prefixlen"]) for info in links()["eth0"]["addr_info"]]
    same("addresses", ("192.0.2.2", 24) in found, True)
    same("live", "<ip address='192.0.2.2' prefix='24'/>" in interface.XMLDesc(0), True)
    detail = "interface is already running"
    text = "Requested operation is not valid: "
    template = refused_template(lambda: interface.create(0))
    same("template", template in (text + "%s", text + "%1$s"), True)
    fields = (template, detail, -1, -1)
    refused("second create", lambda: interface.create(0), libvirt.VIR_ERR_OPERATION_INVALID, fields)
    same("destroy", interface.destroy(0), 0)
    same("flags", "UP" in links()["eth0"]["flags"], False)
    invalid = libvirt.VIR_ERR_OPERATION_INVALID
    fields = (template, "interface is not running", -1, -1)
    refused("second destroy", lambda: interface.destroy(0), invalid, fields)
    same("undefine", interface.undefine(), 0)
    refused("second undefine", interface.undefine, invalid)


def refused_template(call):
    try:
        call()
    except libvirt.libvirtError as err:
        return err.get_str1()
    return None


def check_bridge(connection):
    """Tests a bridge. An interface without a link has no MAC address, and is found by its name."""
    connection.interfaceDefineXML(ETH0, VALIDATE)
    bridge = connection.interfaceDefineXML(BR0, VALIDATE)
    same("MAC of what is not there", bridge.MACString(), "")
    same("definition", bridge.XMLDesc(DEFINITION), BR0)
    same("all", names(connection, 0), ["br0", "eth0", "eth1", "far0", "far1", "lo"])
    same("defined names", "br0" in connection.listDefinedInterfaces(), True)
    bridge.create(0)
    same("ports", links()["eth0"]["master"], "br0")
    same("all", names(connection, 0), ["br0", "eth1", "far0", "far1", "lo"])
    found = connection.interfaceLookupByName("br0")
    same("MAC", found.MACString(), "52:54:00:00:00:01")
    found.destroy(0)
    same("link", "br0" in links(), False)
    bridge.undefine()
    refused("gone", lambda: connection.interfaceLookupByName("br0"), libvirt.VIR_ERR_NO_INTERFACE)
    refused("create of what is gone", lambda: bridge.create(0), libvirt.VIR_ERR_NO_INTERFACE)


def check_refusals(connection):
    invalid = libvirt.VIR_ERR_INVALID_ARG
    refused("define flags", lambda: connection.interfaceDefineXML(ETH0, 2), invalid)
    interface = connection.interfaceLookupByName("eth0")
    refused("create flags", lambda: interface.create(1), invalid)
    refused("destroy flags", lambda: interface.destroy(1), invalid)
    xml = libvirt.VIR_ERR_XML_ERROR
    refused("no type", lambda: connection.interfaceDefineXML("<interface/>", 0), xml,
            domain=libvirt.VIR_FROM_XML)
    refused("no name", lambda: connection.interfaceDefineXML("<interface type='bridge'/>", 0), xml)
    refused("no XML", lambda: connection.interfaceDefineXML("<interface", 0),
            libvirt.VIR_ERR_XML_DETAIL)
    unknown = ETH0.replace("<protocol", "<colour/><protocol", 1)
    refused("schema", lambda: connection.interfaceDefineXML(unknown, VALIDATE),
            libvirt.VIR_ERR_XML_INVALID_SCHEMA, domain=libvirt.VIR_FROM_XML)


def check_read_only(connection):
    denied = libvirt.VIR_ERR_OPERATION_DENIED
    interface = connection.interfaceLookupByName("eth0")
    for what, call in [
        ("define", lambda: connection.interfaceDefineXML(ETH0, 0)),
        ("create", lambda: interface.create(0)),
        ("destroy", lambda: interface.destroy(0)),
        ("undefine", interface.undefine),
    ]:
        refused(f"{what}, read-only", call, denied)


def main():
    libvirt.registerErrorHandler(lambda _context, _err: None, None)
    connection = libvirt.open("interface:///system")
    check_life(connection)
    check_bridge(connection)
    check_refusals(connection)
    same("references left after closing", connection.close(), 0)
    check_read_only(libvirt.openReadOnly("interface:///system"))


main()
