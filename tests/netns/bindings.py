# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls every reading function of libvirt-python; compares descriptions with `ip -json -details`."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import libvirt

HIDDEN = {"port0", "tap0", "tap1", "tun0", "vnet1", "vxlan0"}
ACTIVE = libvirt.VIR_CONNECT_LIST_INTERFACES_ACTIVE
INACTIVE = libvirt.VIR_CONNECT_LIST_INTERFACES_INACTIVE
DEFINITION = libvirt.VIR_INTERFACE_XML_INACTIVE


def ip(arguments):
    return json.loads(subprocess.check_output(["ip", "-json", "-details", *arguments.split()]))


def same(what, got, want):
    if got != want:
        sys.exit(f"{what}:\n  got  {got!r}\n  want {want!r}")


def refused(what, call, code, domain=libvirt.VIR_FROM_INTERFACE):
    try:
        got = call()
    except libvirt.libvirtError as err:
        same(what, (err.get_error_code(), err.get_error_domain()), (code, domain))
    else:
        sys.exit(f"{what}: not refused, but {got!r}")


def is_up(link):
    return "UP" in link["flags"]


def check_connection(connection):
    same("type", connection.getType(), "interface")
    same("URI", connection.getURI(), "interface:///system")
    same("version", connection.getLibVersion(), 11_000_000)
    same("secure", connection.isSecure(), 1)
    same("alive", connection.isAlive(), 1)
    same("hostname", connection.getHostname(), subprocess.getoutput("uname -n"))


def check_lists(connection, links):
    listed = sorted(name for name in links if name not in HIDDEN)
    up = [name for name in listed if is_up(links[name])]
    down = [name for name in listed if not is_up(links[name])]
    same("active names", connection.listInterfaces(), up)
    same("inactive names", connection.listDefinedInterfaces(), down)
    same("active count", connection.numOfInterfaces(), len(up))
    same("inactive count", connection.numOfDefinedInterfaces(), len(down))
    for flags, want in [
        (0, listed),
        (ACTIVE, up),
        (INACTIVE, down),
        (ACTIVE | INACTIVE, listed),
    ]:
        got = [interface.name() for interface in connection.listAllInterfaces(flags)]
        same(f"all, flags {flags}", got, want)


def check_look_ups(connection, links):
    for name, link in links.items():
        interface = connection.interfaceLookupByName(name)
        same(f"name of {name}", interface.name(), name)
        mac = link.get("address", "")
        same(f"MAC of {name}", interface.MACString(), mac)
        same(f"state of {name}", interface.isActive(), int(is_up(link)))
        if name in HIDDEN:
            refused(
                f"MAC of hidden {name}",
                lambda: connection.interfaceLookupByMACString(mac),
                libvirt.VIR_ERR_NO_INTERFACE,
            )
        else:
            found = connection.interfaceLookupByMACString(mac.upper())
            same(f"name of {mac}", found.name(), name)


def addresses(link, family):
    """The addresses of a family, in the format of the XML, sorted."""
    of_family = [info for info in link["addr_info"] if info["family"] == family]
    return sorted((info["local"], str(info["prefixlen"])) for info in of_family)


def described(protocol):
    found = [(ip.get("address"), ip.get("prefix")) for ip in protocol.findall("ip")]
    return sorted(found)


def default_gateway(link, family):
    option = {"inet": "-4", "inet6": "-6"}[family]
    routes = ip(f"{option} route show default dev {link['ifname']}")
    return routes[0]["gateway"] if routes else None


def check_description(name, link, tree, links):
    kind = link.get("linkinfo", {}).get("info_kind")
    same("type", tree.get("type"), "bridge" if kind == "bridge" else "ethernet")
    same("name", tree.get("name"), name)
    same(f"mtu of {name}", tree.find("mtu").get("size"), str(link["mtu"]))
    for family, ours in [("inet", "ipv4"), ("inet6", "ipv6")]:
        protocol = tree.find(f"protocol[@family='{ours}']")
        want, gateway = addresses(link, family), default_gateway(link, family)
        if protocol is None:
            same(f"{ours} of {name}", (want, gateway), ([], None))
            continue
        same(f"{ours} of {name}", described(protocol), want)
        route = protocol.find("route")
        same(f"{ours} route of {name}", None if route is None else route.get("gateway"), gateway)
    if kind == "bridge":
        check_bridge(name, link, tree.find("bridge"), links)
    else:
        check_ethernet(name, link, tree)


def check_ethernet(name, link, tree):
    same(f"state of {name}", tree.find("link").get("state"), link["operstate"].lower())
    mac = tree.find("mac")
    if link["link_type"] in ("ether", "loopback"):
        same(f"mac of {name}", mac.get("address"), link["address"])


def check_bridge(name, link, bridge, links):
    data = link["linkinfo"]["info_data"]
    same(f"stp of {name}", bridge.get("stp"), "on" if data["stp_state"] else "off")
    same(f"delay of {name}", float(bridge.get("delay")), data["forward_delay"] / 100)
    ports = [port for port in links.values() if port.get("master") == name]
    ports = {port["ifname"]: port for port in ports if port["ifname"] != "vnet1"}
    found = bridge.findall("interface")
    same(f"ports of {name}", [port.get("name") for port in found], sorted(ports))
    for port in found:
        check_ethernet(port.get("name"), ports[port.get("name")], port)


def check_descriptions(connection, links):
    for name, link in links.items():
        interface = connection.interfaceLookupByName(name)
        tree = ElementTree.fromstring(interface.XMLDesc(0))
        check_description(name, link, tree, links)
        definition = ElementTree.fromstring(interface.XMLDesc(DEFINITION))
        same(f"definition of {name}", definition.get("name"), name)
        same(f"link state in the definition of {name}", definition.findall(".//link"), [])


def check_refusals(connection):
    unknown = libvirt.VIR_ERR_NO_INTERFACE
    refused("no such name", lambda: connection.interfaceLookupByName("nosuch0"), unknown)
    refused("no such MAC", lambda: connection.interfaceLookupByMACString("02::"), unknown)
    refused("list flags", lambda: connection.listAllInterfaces(4), libvirt.VIR_ERR_INVALID_ARG)
    interface = connection.interfaceLookupByName("eth0")
    refused("XML flags", lambda: interface.XMLDesc(2), libvirt.VIR_ERR_INVALID_ARG)
    refused(
        "another driver's call",
        connection.getCapabilities,
        libvirt.VIR_ERR_NO_SUPPORT,
        libvirt.VIR_FROM_DOMAIN,
    )


def main():
    libvirt.registerErrorHandler(lambda _context, _err: None, None)
    links = {link["ifname"]: link for link in ip("address show")}
    for opener in [libvirt.open, libvirt.openReadOnly]:
        connection = opener("interface:///system")
        check_connection(connection)
        check_lists(connection, links)
        check_look_ups(connection, links)
        check_descriptions(connection, links)
        check_refusals(connection)
        same("references left after closing", connection.close(), 0)


main()
