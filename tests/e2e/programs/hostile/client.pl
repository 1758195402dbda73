# SPDX-License-Identifier: MIT
# One exchange in Perl: client.pl PORT.  Exit status 0: right; 1: connection error, printed; 3: wrong.
use strict;
use warnings;
use IO::Socket::INET;

$SIG{PIPE} = 'IGNORE';
my $length = 1 + int rand 100000;
my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ARGV[0], Timeout => 50)
    or die "connect: $@\n";
my $pattern = join '', map { chr($_ % 256) } 0 .. $length - 1;
syswrite($socket, "send $length\n") or die "write: $!\n";
my ($got, $n) = ('');
$got .= $_ while do { $n = sysread $socket, $_, 65536; defined $n or die "read: $!\n"; $n };
if ($got ne $pattern) {
    print STDERR "wrong: ", length $got, " bytes of $length\n";
    exit 3;
}
