#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Connects that concern this machine's own links are left to its kernel: link-local, multicast and
# broadcast addresses, and sockets that are bound to a device.
#
# Program, gateway and target are in a separate network with a pair of devices.

load lib

setup_file() {
    start_network
    inside ip link add near type veth peer name far
    inside ip link set far up
    inside ip link set near up
    inside ip address add 192.0.2.1/24 dev near
    inside ip address add fe80::5/64 dev near nodad
}

teardown_file() { stop_all; }

setup() {
    local dir=$BATS_TEST_TMPDIR
    direct && return
    printf '[listen]\naddress = unix://%s/carrier\nallow = *, 127.0.0.0/8\n' "$dir" >"$dir/gateway.conf"
    start_helper_outside
}

teardown() {
    stop_all
    show_logs
}

@test "link-local, multicast, broadcast, and sockets bound to a device behave as without the shim" {
    local dir=$BATS_TEST_TMPDIR
    inside python3 "$fixtures/links.py" fe80::5 near >"$dir/direct"
    assert_equal "$(grep -c ': connected\|then connected' "$dir/direct")" 6
    direct && return
    inside "$BUILD/smuxshim" -c "$smuxshim_conf" python3 "$fixtures/links.py" fe80::5 near >"$dir/shim"
    diff "$dir/direct" "$dir/shim" >&2 || fail "what differs: < direct, > under the shim"
    # Only the two connects of sockets bound to the loopback device, to a loopback address, were
    # routed.
    assert_equal "$(streams_total)" 2
}
