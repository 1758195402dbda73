#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What a network has to remember of 5000 short-lived programs that make a connection each, without
# smuxshim and with it. The programs are in one network, redis and a gateway in another; between them
# is a router that tracks connections and translates their addresses. README.md has these numbers.

load lib
load networks

programs=5000
client=192.0.2.2 router=192.0.2.1 outside=198.51.100.1 server=198.51.100.2

setup() {
    direct && skip "it compares both ways itself"
    cd "$BATS_TEST_TMPDIR" || return
    make_network client
    make_network router
    make_network server
    join_networks client $client/24 router $router/24
    join_networks router $outside/24 server $server/24
    in_network client ip route add default via $router
    in_network router sysctl -qw net.ipv4.ip_forward=1
    in_network router nft -f - <<END
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname to-server masquerade
    }
}
END
    spawn redis in_network server redis-server --bind $server --port 6379 --save "" --appendonly no \
        --protected-mode no
    wait_until "redis" in_network server redis-cli -h $server ping
    "$BUILD/smuxctl" genpsk test psk
    printf '%s\n' '[listen]' "address = tls://$server:7443" "psk = $PWD/psk" "allow = $server:6379" >gateway.conf
    spawn gateway in_network server "$BUILD/smux-gateway" -c gateway.conf
    carrier=tcp gateway_url=tls://$server:7443 gateway_lines="psk = $PWD/psk" write_smuxshim_conf "$server:6379"
    spawn helper in_network client "$BUILD/smux-helper" -c "$smuxshim_conf" -f
    helper_pid=$spawned
    wait_until "the helper" helper_answers
}

teardown() {
    stop_all
    show_logs
}

# run_programs COMMAND...: in the client's network, under COMMAND, processes that connect to redis, ask
# it something and close, 50 at a time. Prints how many have had their answer.
run_programs() {
    in_network client "$@" bash -c '
        one() { exec 3<>"/dev/tcp/$1/6379" && echo PING >&3 && read -r answer <&3 && [ "$answer" = $'"'+PONG\r'"' ] && echo good; }
        for ((i = 0; i < $2; i++)); do
            one "$@" &
            ((i < 50)) || wait -n
        done | wc -l' - $server $programs
}

# What there is at this moment: connections that the router tracks, at the client ports in use towards
# the server, and how many of these only wait for TIME_WAIT to pass.
tracked() { in_network router cat /proc/sys/net/netfilter/nf_conntrack_count; }
ports() { in_network client ss -Htan dst $server | awk '{ print $4 }' | sort -u | wc -l; }
time_waits() { in_network client ss -Htan state time-wait dst $server | wc -l; }
# Connects that the client's kernel has made so far.
connects() { in_network client awk '$1 == "Tcp:" && $6 ~ /^[0-9]/ { print $6 }' /proc/net/snmp; }

numbers() { echo "$(tracked) $(ports) $(time_waits) $(connects)"; }

# all_of NUMBER: every program has left one. On a slow machine the first have been forgotten by the time
# the last have left theirs: TIME_WAIT lasts a minute.
all_of() { [ "$1" -le $programs ] && [ "$1" -gt $((programs * 9 / 10)) ]; }

# in_readme WAY TRACKED PORTS TIME_WAITS: README.md has this row.
in_readme() {
    grep -qxF "| $1 | $2 | $3 | $4 |" <(sed -E 's/([0-9]),([0-9]{3})/\1\2/g' "$root/README.md") || fail "README.md has no row for: $*"
}

@test "5000 programs' connections are 5000 entries, ports and TIME_WAITs, or one connection to a gateway" {
    local carried_tracked carried_ports carried_waits carried_connects direct_tracked direct_ports direct_waits direct_connects
    assert_equal "$(numbers)" "0 0 0 0"
    assert_equal "$(run_programs "$BUILD/smuxshim" -c "$smuxshim_conf")" $programs
    read -r carried_tracked carried_ports carried_waits carried_connects < <(numbers)
    assert_equal "$carried_tracked $carried_ports $carried_waits $carried_connects" "1 1 0 1"
    assert_equal "$(streams_total)" $programs

    assert_equal "$(run_programs)" $programs
    read -r direct_tracked direct_ports direct_waits direct_connects < <(numbers)
    echo "# direct: $direct_tracked tracked, $direct_ports ports, $direct_waits TIME_WAITs" >&3
    assert all_of $((direct_tracked - carried_tracked))
    assert all_of $((direct_ports - carried_ports))
    assert all_of "$direct_waits"
    assert_equal $((direct_connects - carried_connects)) $programs

    in_readme carried "$carried_tracked" "$carried_ports" "$carried_waits"
    in_readme direct $programs $programs $programs
}
