# Shared by the interoperability tests: pairs of peers, one answering, one driving a scenario.
# README.md has what they say to each other.
#
# shellcheck disable=SC2154,SC2034 # variables of bats' run, and for the tests

load /usr/lib/bats/bats-support/load
load /usr/lib/bats/bats-assert/load
bats_require_minimum_version 1.5.0

peers=$BUILD/interop
# Where a Go peer takes part, 200 streams of 256 KiB need a budget that holds them all
# (README.md, fact 5).
roomy=(--receive-buffer 67108864)

# Skips aloud where a foreign peer could not be built.
need() { # PEER
    [ ! -e "$peers/$1.missing" ] || skip "$1 is not built: $(<"$peers/$1.missing")"
    [ -x "$peers/$1" ] || { echo "$peers/$1 does not exist; tests/interop/build.sh makes it" >&2; return 1; }
}

teardown() {
    local pid
    while read -r pid; do
        kill -KILL "$pid" 2>/dev/null || true # stopped ones, too
    done < <(cat "$BATS_TEST_TMPDIR/pids" 2>/dev/null)
}

# spawn NAME COMMAND...: in the background; output in NAME.out, pid in $spawned.
spawn() {
    local name=$1
    shift
    "$@" >"$BATS_TEST_TMPDIR/$name.out" 2>&1 </dev/null 3>&- &
    spawned=$!
    echo $spawned >>"$BATS_TEST_TMPDIR/pids"
}

# Polls for 60 s until the output of NAME has a line that matches; then prints the line.
await_line() { # NAME REGEX
    local tries=3000
    until grep -E -m 1 "$2" "$BATS_TEST_TMPDIR/$1.out"; do
        tries=$((tries - 1))
        if [ $tries = 0 ]; then
            echo "$1 never said $2; it said:" >&2
            cat "$BATS_TEST_TMPDIR/$1.out" >&2
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

# Everything that the responder was asked ended well, and so did its session.
assert_responder_content() {
    run -0 await_line responder '^session ended'
    assert_output --regexp ' truncated=0 failed=0$'
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

# Keepalive quick enough for a test; async_smux counts in seconds.
keepalive_options() { # PEER
    case $1 in
    rust-peer) keepalive=(--keepalive-interval-ms 1000 --keepalive-timeout-ms 2000 --idle-ms 3000) ;;
    *) keepalive=(--keepalive-interval-ms 300 --keepalive-timeout-ms 900 --idle-ms 1500) ;;
    esac
}

ours_drives_idle() { # PEER VERSION
    keepalive_options "$1"
    ours_drives "$1" "$2" keepalive "${keepalive[@]}"
}

they_drive_idle() { # PEER VERSION
    keepalive_options "$1"
    they_drive "$1" "$2" keepalive "${keepalive[@]}"
}

# interrupt DRIVER RESPONDER VERSION SCENARIO SIGNAL WHOM: sends the signal once bytes flow.
interrupt() {
    local driver=$1 answering=$2 version=$3 scenario=$4 signal=$5 whom=$6 victim
    case $driver$answering in *rust*) keepalive_options rust-peer ;; *) keepalive_options other ;; esac
    start_responder "$answering" --version "$version" "${keepalive[@]}"
    spawn driver "$peers/$driver" --connect "$address" --version "$version" --run "$scenario" \
        "${keepalive[@]}"
    victim=$spawned
    await_line driver '^ready$'
    [ "$whom" = driver ] || victim=$responder
    kill "-$signal" "$victim"
}

# The one that is killed is the responder; ours must see an error, reading and writing.
their_server_dies() { # PEER VERSION
    interrupt c_peer "$1" "$2" carrier-loss KILL responder
    run -0 await_line driver '^ok|^FAIL'
    assert_output "ok carrier-loss read=SMUX_ERR_CARRIER write=SMUX_ERR_CARRIER"
}

# No transfer may look complete: two streams, two errors.
their_client_dies() { # PEER VERSION
    interrupt "$1" c_peer "$2" carrier-loss KILL driver
    run -0 await_line responder '^session ended'
    assert_output --regexp '^session ended: .* accepted=2 completed=0 truncated=0 failed=2$'
}

# What theirs say of it is up to them, but they must notice.
our_server_dies() { # PEER VERSION
    interrupt "$1" c_peer "$2" carrier-loss KILL responder
    run -0 await_line driver '^ok carrier-loss'
}

our_client_dies() { # PEER VERSION
    interrupt c_peer "$1" "$2" carrier-loss KILL driver
    run -0 await_line responder '^session ended'
    assert_output --regexp ' completed=0 '
}

their_server_freezes() { # PEER VERSION
    interrupt c_peer "$1" "$2" frozen STOP responder
    run -0 await_line driver '^ok|^FAIL'
    assert_output "ok frozen read=SMUX_ERR_KEEPALIVE"
}

our_server_freezes() { # PEER VERSION
    interrupt "$1" c_peer "$2" frozen STOP responder
    run -0 await_line driver '^ok frozen read=error'
}
