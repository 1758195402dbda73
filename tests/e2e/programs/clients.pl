# SPDX-License-Identifier: MIT
# Perl client: clients.pl HOST PORT COUNT.  Prints "COUNT ok" if every answer was right.
use strict;
use warnings;
use IO::Socket::INET;

my ($host, $port, $count) = @ARGV;
my $ok = 0;
for my $i (1 .. $count) {
    my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => 30)
        or die "connect: $@\n";
    die "peer is " . $socket->peerhost . "\n" if $socket->peerhost ne $host || $socket->peerport != $port;
    print $socket "echo\nnumber $i";
    $socket->shutdown(1);
    local $/;
    $ok++ if <$socket> eq "number $i";
}
print "$ok ok\n";
