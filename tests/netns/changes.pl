# SPDX-License-Identifier: LGPL-2.1-or-later
# Calls every changing function of Perl's Sys::Virt, and compares the results with sysfs and `ip`.

use strict;
use warnings;
use Sys::Virt;
use Sys::Virt::Interface;

my $eth0 = "<interface type='ethernet' name='eth0'>\n  <protocol family='ipv4'>\n"
    . "    <ip address='192.0.2.2' prefix='24'/>\n  </protocol>\n</interface>\n";

sub same {
    my ($what, $got, $want) = @_;
    die "$what: got '$got', want '$want'\n" unless $got eq $want;
}

sub refused {
    my ($what, $code, $call) = @_;
    eval { $call->(); 1 } and die "$what: not refused\n";
    die "$what: $@\n" unless ref $@;
    same("code of $what", $@->code, $code);
    same("domain of $what", $@->domain, Sys::Virt::Error::FROM_INTERFACE);
}

sub is_up { return qx(ip -brief link show $_[0]) =~ /[<,]UP[,>]/ ? 1 : 0; }

my $connection = Sys::Virt->new(uri => 'interface:///system');
my $invalid = Sys::Virt::Error::ERR_OPERATION_INVALID;

my $interface = $connection->define_interface($eth0);
same('name', $interface->get_name(), 'eth0');
same('MAC', $interface->get_mac(), '52:54:00:00:00:01');
same('definition', $interface->get_xml_description(Sys::Virt::Interface::XML_INACTIVE), $eth0);
same('state', $interface->is_active() ? 1 : 0, 0);
my $inactive = Sys::Virt::Interface::LIST_INACTIVE;
same('inactive', scalar(grep { $_->get_name() eq 'eth0' } $connection->list_all_interfaces($inactive)), 1);

$interface->create();
same('state', $interface->is_active() ? 1 : 0, 1);
same('link', is_up('eth0'), 1);
die "no address\n" unless qx(ip -brief address show eth0) =~ m{ 192\.0\.2\.2/24 };
refused('second create', $invalid, sub { $interface->create() });
$interface->destroy();
same('link', is_up('eth0'), 0);
refused('second destroy', $invalid, sub { $interface->destroy() });
$interface->undefine();
refused('second undefine', $invalid, sub { $interface->undefine() });
refused('flags', Sys::Virt::Error::ERR_INVALID_ARG, sub { $interface->create(1) });
refused('no XML', Sys::Virt::Error::ERR_XML_DETAIL, sub { $connection->define_interface('<') });

my $reader = Sys::Virt->new(uri => 'interface:///system', readonly => 1);
my $denied = 29; # VIR_ERR_OPERATION_DENIED, which Sys::Virt has no name for
my $seen = $reader->get_interface_by_name('eth0');
refused('read-only define', $denied, sub { $reader->define_interface($eth0) });
refused('read-only create', $denied, sub { $seen->create() });
refused('read-only destroy', $denied, sub { $seen->destroy() });
refused('read-only undefine', $denied, sub { $seen->undefine() });
