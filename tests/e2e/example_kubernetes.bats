#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# examples/kubernetes as it is: the API's schemas accept it, and its pods run here, in namespaces. What
# is not run is Kubernetes itself: scheduling, scaling, network policies.

load pods

manifests=$root/examples/kubernetes

@test "the API's schemas of Kubernetes 1.29 and later accept the manifests" {
    for version in 1.29 1.37; do
        python3 "$validator/bin/kubernetes-validate" --strict --quiet -k $version "$manifests"/*.yaml
    done
}

# A gateway's pod, and redis, which only gateways reach.
cluster() {
    mkdir -p work/secrets/smux-psk work/host/run
    "$BUILD/smuxctl" genpsk cluster work/secrets/smux-psk/psk
    printf '%s\n' '127.0.0.1 localhost' '203.0.113.10 smux-gateway' \
        '192.0.2.200 redis.databases.svc.cluster.local' >hosts
    plug_in target 192.0.2.200/24
    spawn redis in_network target redis-server --bind 192.0.2.200 --save "" --appendonly no --protected-mode no
    in_network target nft 'table ip only { chain input { type filter hook input priority 0;
        tcp dport 6379 ip saddr != { 192.0.2.21, 192.0.2.22, 192.0.2.200 } reject; }; }'
    wait_until "redis" in_network target redis-cli -h 192.0.2.200 ping
    gateway_pod 1
}

gateway_pod() { # N
    plug_in "gateway$1" "192.0.2.2$1/24"
    spawn_signal=KILL pod "gateway$1" Deployment/smux-gateway "$manifests/gateway.yaml"
}

# service NAME N: in this network, the service's address stands for the Nth gateway's.
service() {
    in_network "$1" ip route replace default dev eth0
    in_network "$1" nft "table ip services; delete table ip services; table ip services { chain output {
        type nat hook output priority -100; ip daddr 203.0.113.10 tcp dport 7443 dnat to 192.0.2.2$2:7443; }; }"
}

answers() { grep -c '^+PONG' app.log; }
more_answers() { [ "$(answers)" -ge $(($1 + 2)) ]; }

@test "a preload library from an init container, a helper as sidecar, and a gateway that is replaced" {
    local old
    cluster
    old=$spawned
    plug_in app 192.0.2.30/24
    service app 1
    pod app Deployment/app "$manifests/sidecar.yaml"
    wait_until "answers" more_answers 0

    gateway_pod 2
    service app 2
    kill "$old"
    wait_until "the end of the old gateway" eval "! alive $old"
    assert_equal "$(tail -n 1 gateway1.log)" "stopped gateway 0"
    wait_until "answers over the other" more_answers "$(answers)"
    refute grep -qE 'refused|reset|timed out|unreachable' app.log
}

@test "programs reach the helper of their node, as users whom it admits" {
    cluster
    plug_in node 192.0.2.40/24
    service node 1
    pod node DaemonSet/smux-helper "$manifests/daemonset.yaml"
    plug_in app 192.0.2.30/24
    pod app Pod/node-app "$manifests/daemonset.yaml"
    wait_until "answers" more_answers 0
}
