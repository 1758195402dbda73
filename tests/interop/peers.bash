# SPDX-License-Identifier: MIT
# Shared by the interoperability tests: pairs of peers, one answering, one driving a scenario.
# README.md describes what they say to each other.
#
# shellcheck disable=SC2154,SC2034 # variables of bats' run, and for the tests

load /usr/lib/bats/bats-support/load
load /usr/lib/bats/bats-assert/load
bats_require_minimum_version 1.5.0

load peer_programs

kill_all() { # FOLDER
    local pid
    while read -r pid; do
        kill -KILL "$pid" 2>/dev/null || true # stopped ones, too
    done < <(cat "$1/pids" 2>/dev/null)
}

teardown() { kill_all "$BATS_TEST_TMPDIR"; }
teardown_file() { kill_all "$BATS_FILE_TMPDIR"; }

# Where the output of both sides of a conversation goes: the test's folder, or $talk.
talk=
about() { echo "${talk:-$BATS_TEST_TMPDIR}/$1"; } # NAME
said() { echo "$(about "$1").out"; }              # NAME

# spawn NAME COMMAND...: in the background; output in NAME.out, exit status in NAME.status, pid in
# NAME.pid and in $spawned.
spawn() {
    local base
    base=$(about "$1")
    shift
    rm -f "$base.pid" "$base.status"
    tell "$base" "$@" >/dev/null 2>&1 </dev/null 3>&- &
    until [ -s "$base.pid" ]; do sleep 0.01; done
    spawned=$(<"$base.pid")
    echo "$spawned" >>"${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}/pids"
}

tell() {
    local base=$1 status=0
    shift
    "$@" >"$base.out" 2>&1 &
    echo $! >"$base.pid"
    wait $! || status=$?
    echo $status >"$base.status"
}

# Polls for 60 s until the output of NAME has a line that matches; then prints the line.
await_line() { # NAME REGEX
    local tries=3000
    until grep -E -m 1 "$2" "$(said "$1")"; do
        tries=$((tries - 1))
        if [ $tries = 0 ]; then
            echo "$1 never said $2; it said:" >&2
            cat "$(said "$1")" >&2
            return 1
        fi
        sleep 0.02
    done
}

# Starts the answering side: its pid in $responder, its address in $address.
start_responder() { # PEER OPTIONS...
    local peer=$1
    shift
    spawn responder "$peers/$peer" --listen 127.0.0.1:0 "$@"
    responder=$spawned
    address=$(await_line responder '^listening ')
    address=${address#listening }
}

# After the session a peer exits by itself, with success: this is where a sanitizer would report.
assert_exits() { # NAME
    local tries=3000 status
    status=$(about "$1").status
    until [ -s "$status" ]; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "the peer does not end" >&2; return 1; }
        sleep 0.02
    done
    [ "$(<"$status")" = 0 ] || { echo "the $1's exit status is $(<"$status")" >&2; return 1; }
}

# Every request to the responder ended well, and so did its session.
assert_responder_content() {
    run -0 await_line responder '^session ended'
    assert_output --regexp ' truncated=0 failed=0$'
    assert_exits responder
}

# converse DRIVER RESPONDER VERSION SCENARIO [OPTIONS for both] [-- OPTIONS of the driver]
converse() {
    local driver=$1 answering=$2 version=$3 scenario=$4 both=()
    shift 4
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        both+=("$1")
        shift
    done
    [ $# = 0 ] || shift
    start_responder "$answering" --version "$version" "${both[@]}"
    [ "$version" != auto ] || version=2
    run -0 "$peers/$driver" --connect "$address" --version "$version" --run "$scenario" \
        "${both[@]}" "$@"
    assert_line --regexp "^ok $scenario"
    assert_responder_content
}

ours_drives() { # PEER VERSION SCENARIO OPTIONS...
    local peer=$1
    shift
    converse c_peer "$peer" "$@"
}

they_drive() { # PEER VERSION SCENARIO OPTIONS...
    local peer=$1
    shift
    converse "$peer" c_peer "$@"
}

# Keepalive quick enough for a test, but slow enough for a machine that stalls for some seconds,
# which delays frames by as much.  async_smux counts in seconds.
keepalive_options() { # PEER...
    interval_ms=500 timeout_ms=4000
    case $* in *rust*) interval_ms=1000 timeout_ms=5000 ;; esac
    keepalive=(--keepalive-interval-ms "$interval_ms" --keepalive-timeout-ms "$timeout_ms")
}

# interrupt DRIVER RESPONDER VERSION WHOM: kills one of them once bytes flow.
interrupt() {
    local victim
    keepalive_options "$1" "$2"
    start_responder "$2" --version "$3" "${keepalive[@]}"
    spawn driver "$peers/$1" --connect "$address" --version "$3" --run carrier-loss "${keepalive[@]}"
    victim=$spawned
    await_line driver '^ready$'
    [ "$4" = driver ] || victim=$responder
    kill -KILL "$victim"
}

# The one that is killed is the responder; ours must see an error, reading and writing.
their_server_dies() { # PEER VERSION
    interrupt c_peer "$1" "$2" responder
    run -0 await_line driver '^ok|^FAIL'
    assert_output "ok carrier-loss read=SMUX_ERR_CARRIER write=SMUX_ERR_CARRIER"
    assert_exits driver
}

# No transfer may look complete: two streams, two errors.
their_client_dies() { # PEER VERSION
    interrupt "$1" c_peer "$2" driver
    run -0 await_line responder '^session ended'
    assert_output --regexp '^session ended: .* accepted=2 completed=0 truncated=0 failed=2$'
    assert_exits responder
}

# How theirs report it is up to them, but they must notice.
our_server_dies() { # PEER VERSION
    interrupt "$1" c_peer "$2" responder
    run -0 await_line driver '^ok carrier-loss'
}

our_client_dies() { # PEER VERSION
    interrupt c_peer "$1" "$2" driver
    run -0 await_line responder '^session ended'
    assert_output --regexp ' completed=0 '
}

# ---- Conversations that mostly wait --------------------------------------------------------------

# They are all started at once before the first test of a file; their tests check how they end.

begin() { # SCENARIO DRIVER RESPONDER VERSION IDLE_MS
    talk=$BATS_FILE_TMPDIR/$1-$2-$3-$4
    mkdir "$talk"
    start_responder "$3" --version "$4" "${keepalive[@]}"
    spawn driver "$peers/$2" --connect "$address" --version "$4" --run "$1" "${keepalive[@]}" --idle-ms "$5"
}

# begin_waiting PEER VERSION...: idle for longer than the timeout, so that only keepalives save them,
# and frozen; with both drivers.
begin_waiting() {
    local peer=$1 version
    shift
    [ -x "$peers/$peer" ] || return 0 # `need` says why
    keepalive_options "$peer"
    for version; do
        begin keepalive c_peer "$peer" "$version" $((timeout_ms + 2 * interval_ms))
        begin frozen c_peer "$peer" "$version" $((interval_ms * 3 / 2))
        [ "$peer" != c_peer ] || continue
        begin keepalive "$peer" c_peer "$version" $((timeout_ms + 2 * interval_ms))
        begin frozen "$peer" c_peer "$version" $((interval_ms * 3 / 2))
    done
    for talk in "$BATS_FILE_TMPDIR"/frozen-*; do
        await_line driver '^ready$' || continue
        kill -STOP "$(<"$talk/responder.pid")"
    done
    talk=
}

idle_goes_on() { # DRIVER RESPONDER VERSION
    talk=$BATS_FILE_TMPDIR/keepalive-$1-$2-$3
    run -0 await_line driver '^ok|^FAIL'
    assert_output --regexp "^ok keepalive"
    assert_exits driver
    assert_responder_content
}

ours_drives_idle() { idle_goes_on c_peer "$1" "$2"; } # PEER VERSION
they_drive_idle() { idle_goes_on "$1" c_peer "$2"; }  # PEER VERSION

their_server_freezes() { # PEER VERSION
    talk=$BATS_FILE_TMPDIR/frozen-c_peer-$1-$2
    run -0 await_line driver '^ok|^FAIL'
    assert_output "ok frozen read=SMUX_ERR_KEEPALIVE"
}

our_server_freezes() { # PEER VERSION
    talk=$BATS_FILE_TMPDIR/frozen-$1-c_peer-$2
    run -0 await_line driver '^ok frozen read=error'
}
