# SPDX-License-Identifier: LGPL-2.1-or-later
# Calls every reading function of Perl's Sys::Virt, and compares the results with sysfs.

use strict;
use warnings;
use Sys::Virt;
use Sys::Virt::Interface;

my %hidden = map { $_ => 1 } qw(port0 tap0 tap1 tun0 vnet1 vxlan0);

sub same {
    my ($what, $got, $want) = @_;
    die "$what: got '$got', want '$want'\n" unless $got eq $want;
}

sub fact {
    my ($name, $attribute) = @_;
    open my $file, '<', "/sys/class/net/$name/$attribute" or die "$name/$attribute: $!\n";
    chomp(my $value = <$file>);
    return $value;
}

sub names { return join ' ', sort map { $_->get_name() } @_; }

my @links = map { s{.*/}{}r } glob '/sys/class/net/*';
my @listed = grep { !$hidden{$_} } @links;
my %up = map { $_ => hex(fact($_, 'flags')) & 1 } @links;
my $active = join ' ', sort grep { $up{$_} } @listed;
my $inactive = join ' ', sort grep { !$up{$_} } @listed;

for my $readonly (0, 1) {
    my $connection = Sys::Virt->new(uri => 'interface:///system', readonly => $readonly);
    same('URI', $connection->get_uri(), 'interface:///system');
    same('type', $connection->get_type(), 'interface');
    same('library', $connection->get_library_version(), 11_000_000);
    same('secure', $connection->is_secure(), 1);

    same('active', names($connection->list_interfaces()), $active);
    same('inactive', names($connection->list_defined_interfaces()), $inactive);
    same('all', names($connection->list_all_interfaces()), join ' ', sort @listed);
    same('active count', $connection->num_of_interfaces(), scalar split ' ', $active);
    same('inactive count', $connection->num_of_defined_interfaces(), scalar split ' ', $inactive);
    same('active names', join(' ', $connection->list_interface_names(99)), $active);
    same('inactive names', join(' ', $connection->list_defined_interface_names(99)), $inactive);

    for my $name (@links) {
        my $interface = $connection->get_interface_by_name($name);
        my $mac = fact($name, 'address');
        same("MAC of $name", $interface->get_mac(), $mac);
        same("state of $name", $interface->is_active() ? 1 : 0, $up{$name});
        my $mtu = fact($name, 'mtu');
        my $xml = $interface->get_xml_description();
        die "mtu $mtu is not in $xml\n" unless $xml =~ m{<mtu size='$mtu'/>};
        my $definition =
            $interface->get_xml_description(Sys::Virt::Interface::XML_INACTIVE);
        die "state in a definition: $definition\n" if $definition =~ m{<link };
        next if $hidden{$name};
        same("name of $mac", $connection->get_interface_by_mac($mac)->get_name(), $name);
    }

    eval { $connection->get_interface_by_name('nosuch0') };
    same('no such interface', $@->code, Sys::Virt::Error::ERR_NO_INTERFACE);
}
