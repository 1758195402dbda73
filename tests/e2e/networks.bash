# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Several networks on one machine: namespaces with names, joined by virtual cables. They exist until
# stop_all ends their processes. Needs root.
# shellcheck disable=SC2016,SC2154
declare -gA networks # of a name: the pid of a process in that network

make_network() { # NAME
    [ "$(id -u)" = 0 ] || { fail "this needs root, for networks of its own"; return 1; }
    spawn "network-$1" unshare --net sleep 3600
    networks[$1]=$spawned
    wait_until "the network $1" network_exists "$spawned"
    in_network "$1" ip link set lo up
}

network_exists() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

in_network() { # NAME COMMAND...
    local pid=${networks[$1]}
    shift
    $exec nsenter --net="/proc/$pid/ns/net" "$@"
}

# join_networks A ADDRESS/PREFIX B ADDRESS/PREFIX: the device in A is named to-B, that in B to-A.
join_networks() {
    ip link add "to-$3" netns "${networks[$1]}" type veth peer name "to-$1" netns "${networks[$3]}"
    in_network "$1" sh -c 'ip address add "$1" dev "$2" && ip link set "$2" up' - "$2" "to-$3"
    in_network "$3" sh -c 'ip address add "$1" dev "$2" && ip link set "$2" up' - "$4" "to-$1"
}

# plug_in NAME ADDRESS/PREFIX...: makes a network and joins it to all others that are plugged in.
plug_in() {
    local name=$1 address
    [ -n "${networks[switch]-}" ] || {
        make_network switch
        in_network switch sh -c 'ip link add bridge type bridge && ip link set bridge up'
    }
    make_network "$name"
    ip link add "to-$name" netns "${networks[switch]}" type veth peer name eth0 netns "${networks[$name]}"
    in_network switch sh -c 'ip link set "$1" master bridge up' - "to-$name"
    for address in "${@:2}"; do in_network "$name" ip address add "$address" dev eth0; done
    in_network "$name" ip link set eth0 up
}
