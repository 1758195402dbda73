#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Many connections at once and many in a row, after which nothing is left over.

load web_and_peer

descriptors() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
# Counted page by page (smaps): /proc/PID/status lags by what each processor has not yet added.
memory_kb() { awk '/^Rss/ { print $2 }' "/proc/$1/smaps_rollup"; }

# Prints the number of descriptors that helper and gateway hold.
holdings() { direct || echo "helper $(descriptors "$helper_pid") gateway $(descriptors "$gateway_pid")"; }

no_streams() { direct || [ "$(streams_now)" = 0 ]; }
back_to() { [ "$(holdings)" = "$1" ]; }

# The helper's control socket has no client, connected or waiting, and the gateway no server.
at_rest() {
    direct && return
    [ "$(ss -Hxa src "$runtime_dir/smuxshim-helper.sock" | awk '{ print $2, $3 }')" = "LISTEN 0" ] &&
        [ -z "$(ss -Htn state established state close-wait "dport = :$web_port or dport = :$peer_port")" ]
}

# There are only as many descriptors and streams as before.
nothing_left_of() {
    wait_until "the streams to end" no_streams
    wait_until "the descriptors to be those of before ($1, now $(holdings))" back_to "$1"
}

# The first connection opens the session, so that the session's descriptors count as there before.
warm_up() {
    via curl -sSf -o /dev/null "http://127.0.0.1:$web_port/small1"
    wait_until "the first stream to end" no_streams
    wait_until "its descriptors to be closed" at_rest
    steady_holdings
}

steady_holdings() {
    local now before=none
    until now=$(holdings) && [ "$now" = "$before" ]; do
        before=$now
        sleep 0.1
    done
    echo "$now"
}

at_peer() { [ "$(ss -Htn state established "sport = :$peer_port" | wc -l)" -ge "$1" ]; }
ready() { [ "$(find . -name 'ready.*' | wc -l)" = "$1" ]; }

@test "5000 connections of five processes at once, over one carrier" {
    local before pids=() i
    before=$(warm_up)
    for i in 1 2 3 4 5; do
        spawn "swarm$i" via python3 "$fixtures/probe.py" swarm 127.0.0.1 "$peer_port" 1000 .
        pids+=("$spawned")
    done
    wait_until "five processes with 1000 connections each" ready 5
    at_peer 5000
    direct || assert_equal "$(streams_now)" 5000
    touch go
    for i in 1 2 3 4 5; do
        wait "${pids[i - 1]}"
        assert_equal "$(cat "swarm$i.log")" "1000 ok"
    done
    assert_carried 5000
    nothing_left_of "$before"
}

@test "100000 short connections in a row leave no descriptor, stream or memory behind" {
    local before memory
    before=$(warm_up)
    run --separate-stderr via ab -q -n 5000 -c 32 "http://127.0.0.1:$web_port/small1"
    assert_line --regexp '^Failed requests: +0$'
    direct || memory=$(($(memory_kb "$helper_pid") + $(memory_kb "$gateway_pid")))
    run --separate-stderr via ab -q -n 100000 -c 32 "http://127.0.0.1:$web_port/small1"
    assert_success
    assert_line --regexp '^Complete requests: +100000$'
    assert_line --regexp '^Failed requests: +0$'
    assert_carried 105000
    nothing_left_of "$before"
    # If each connection leaked the smallest block of the heap, it would be 3.2 MB.
    direct || assert [ $(($(memory_kb "$helper_pid") + $(memory_kb "$gateway_pid"))) -lt $((memory + 3000)) ]
}

@test "a program that makes connections in a row leaks no descriptor" {
    run --separate-stderr via perl -MIO::Socket::INET -e '
        sub open_fds { my @fds = glob("/proc/self/fd/*"); scalar @fds }
        my ($port, $before) = @ARGV;
        for (1 .. 500) {
            my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port) or die "connect: $@";
            print $s "count\n";
            <$s> =~ /^\d+$/ or die "no answer";
            $before //= open_fds() - 1;
        }
        print open_fds() - $before, " left\n"' "$peer_port"
    assert_success
    assert_output "0 left"
    assert_carried 500
}

@test "programs that are killed leave nothing behind" {
    local before i
    before=$(warm_up)
    for i in 1 2 3; do
        spawn "swarm$i" via python3 "$fixtures/probe.py" swarm 127.0.0.1 "$peer_port" 200 .
    done
    wait_until "three processes with 200 connections each" ready 3
    awk '{ print $1 }' spawned | tail -n 3 | while read -r pid; do kill -KILL "$pid"; done
    wait_until "the peer to see them end" bash -c "[ \$(ss -Htn state established 'sport = :$peer_port' | wc -l) = 0 ]"
    nothing_left_of "$before"
    via curl -sSf -o /dev/null "http://127.0.0.1:$web_port/small1"
}
