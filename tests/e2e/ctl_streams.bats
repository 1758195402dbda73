#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# smuxctl status, streams, top, events and drain --wait: what people and scripts see of connections.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    direct && skip "smuxctl has nothing to show without a helper"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    stop_all
    show_logs
}

held() { [ "$(grep -cx flowing held.log)" = "$1" ]; }

# hold N: opens N connections through the shim, one after the other, and keeps them open.
hold() {
    local i
    for i in $(seq "$1"); do
        spawn held via python3 "$fixtures/probe.py" receive 127.0.0.1 "$peer_port" 1000 hold
        wait_until "connection $i" held "$i"
    done
    held_pid=$spawned
}

# ends STATUS PID: the process, which was spawned, ends with this status.
ends() {
    wait_until "process $2 to end" eval "! alive $2"
    run "-$1" wait "$2"
}

terminal() { python3 "$fixtures/on_terminal.py" "$@"; }

# documented HEADING: prints the members that the page lists below this heading.
documented() {
    awk -v heading="## $1" '/^##? / { on = $0 == heading; next } on' "$root/helper/ctl/smuxctl.1.scd" |
        sed -nE 's/^- \*([a-z_]+)\*.*/\1/p' | sort
}

# same_members HEADING: stdin, JSON objects one in each line, have exactly the documented members.
same_members() {
    local line count=0
    [ -n "$(documented "$1")" ] || fail "$1: nothing is documented"
    while read -r line; do
        diff <(documented "$1") <(jq -r 'keys[]' <<<"$line" | sort) || fail "$1: $line"
        count=$((count + 1))
    done
    [ "$count" -gt 0 ] || fail "$1: nothing to compare"
}

@test "the members of status --json and streams --json are those of the page, and no others" {
    start_gateway
    gateway_lines='' write_smuxshim_conf "127.0.0.1:$peer_port"
    printf '%s\n' '[gateway idle]' 'address = tcp://127.0.0.1:1' '[socks]' "listen = $PWD/socks" >>"$smuxshim_conf"
    start_helper
    hold 2
    ctl status --json >status.json
    jq -c . status.json | same_members "The helper"
    jq -c .limits status.json | same_members "Its limits"
    jq -c '.listeners[]' status.json | same_members "A listener"
    assert_equal "$(jq '.sessions | length' status.json)" 2
    jq -c '.sessions[]' status.json | same_members "A session"
    jq -c '.addresses[]' status.json | same_members "An address"
    jq -c '.streams[]' status.json | same_members "A connection"
    ctl streams --json >streams.json
    assert_equal "$(jq -c '[.[] | [.id, .pid, .user, .state, .waiting]] | length' streams.json)" 2
    jq -c '.[]' streams.json | same_members "A connection"
    run -0 jq -e --argjson pid "$held_pid" --arg user "$(id -un)" '
        .[1] | .pid == $pid and .user == $user and .program == "python3" and .state == "open" and .waiting == "" and
        .bytes_in > 1000 and .rate_in > 0' streams.json
}

@test "tables are aligned, and cut to a terminal's width but to nothing else" {
    start_gateway
    write_smuxshim_conf "127.0.0.1:$peer_port"
    printf '[gateway %s]\naddress = tcp://127.0.0.1:1\n' "$(printf 'lang%.0s' {1..12})" umläute-österreich >>"$smuxshim_conf"
    start_helper
    hold 2
    ctl streams >wide
    assert_equal "$(wc -l <wide)" 3
    run -0 head -n 1 wide
    assert_output --regexp '^ *PID  USER +PROGRAM +DESTINATION +NAME  GATEWAY  STATE  WAITS FOR +AGE +IN +OUT +IN/S +OUT/S$'
    # Titles and texts begin in the same column.
    run -0 awk 'FNR == 1 { at = index($0, "DESTINATION") } FNR > 1 { print substr($0, at, 10) }' wide
    assert_output $'127.0.0.1:\n127.0.0.1:'
    run -0 terminal 60 20 -- "$BUILD/smuxctl" -c "$smuxshim_conf" streams
    assert_line --regexp "^ *PID  PROGRAM +DESTINATION .*IN/S +OUT/S\$"
    assert_line --regexp "^ *$held_pid  python3  127.0.0.1:"
    awk 'length($0) > 60' <<<"$output" | (! grep .)
    COLUMNS=44 run -0 terminal 60 20 -- "$BUILD/smuxctl" -c "$smuxshim_conf" status
    assert_line --regexp '^ *PROGRAM +DESTINA.*\+? +IN/S +OUT/S$'
    tail -n 3 <<<"$output" | awk 'length($0) > 44' | (! grep .)
    # Wide enough or not: the columns of all rows begin where their titles do.
    local width
    for width in 40 80 200; do
        run -0 terminal "$width" 20 -- "$BUILD/smuxctl" -c "$smuxshim_conf" status
        tail -n +5 <<<"$output" | awk -v width="$width" 'length($0) > width' | (! grep .)
        sed -n '/^GATEWAY/,/^\r*$/p' <<<"$output" | awk '
            /^GATEWAY/ { at = index($0, "STATE"); next } length($0) > 1 && substr($0, at, 4) !~ /^(up|idle|untr)/ { print }' | (! grep .)
    done
}

@test "streams --watch shows rates, and ends with the helper" {
    start_both "127.0.0.1:$peer_port"
    hold 1
    spawn watch "$BUILD/smuxctl" -c "$smuxshim_conf" streams --watch --json
    local watch=$spawned
    wait_until "two samples" eval '[ "$(wc -l <watch.log)" -ge 2 ]'
    # The first rate is the average since the beginning; then nothing has moved.
    run -0 jq -se '.[0][0].rate_in > 0 and .[1][0].rate_in == 0 and .[0][0].id == .[1][0].id' <(head -n 2 watch.log)
    ctl stop
    ends 1 "$watch"
    run tail -n 1 watch.log
    assert_output --regexp '^smuxctl: no helper answers at '
}

# Four connections that cannot go on: two of a server that neither reads nor stops writing.
stuck_server='
import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
keep = []
while True:
    c = s.accept()[0]
    c.setblocking(False)
    try:
        while True: c.send(b"x" * 65536)
    except BlockingIOError:
        pass
    keep.append(c)'
stuck_client='
import socket, sys, time
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
if sys.argv[2] == "write":
    c.setblocking(False)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try: c.send(b"x" * 65536)
        except BlockingIOError: time.sleep(0.01)
        try: c.recv(65536)
        except BlockingIOError: pass
time.sleep(100)'

waits() { ctl streams --json | jq -e --arg what "$1" 'any(.waiting == $what)'; }

@test "what a connection waits for is told" {
    local port
    port=$(free_port)
    start_both "127.0.0.1:$port"
    serve stuck "$port" python3 -c "$stuck_server" "$port"
    spawn reads-not via python3 -c "$stuck_client" "$port" read
    wait_until "an application that does not read" waits application
    spawn writes via python3 -c "$stuck_client" "$port" write
    wait_until "a target that does not read" waits target
    kill -STOP "$gateway_pid"
    spawn connects via python3 -c "$stuck_client" "$port" read
    wait_until "a gateway that does not answer" waits connect
    stop "$gateway_pid" KILL
    spawn waits via python3 -c "$stuck_client" "$port" read
    wait_until "a gateway that is gone" waits gateway
    run -0 ctl streams
    assert_output --regexp 'connecting  gateway '
}

@test "top sorts by the keys, pauses, and leaves the terminal as it was" {
    start_both "127.0.0.1:$peer_port"
    hold 2
    run -0 terminal 100 7 'by rate\D' a 'by age\D' R 'by age, reversed' ' ' 'reversed, paused' q -- \
        "$BUILD/smuxctl" -c "$smuxshim_conf" top
    assert_output --partial 'connections: 2, in '
    assert_output --regexp 'PID  USER +PROGRAM '
    # The oldest first, then the youngest; of seven lines the rows have the rest.
    assert_output --regexp "by age, reversed[^:]*q quit.*$held_pid "
    assert_output --partial $'\033[?1049l'
    run -2 "$BUILD/smuxctl" -c "$smuxshim_conf" top
    assert_output 'smuxctl: top: expected a terminal; `smuxctl streams --watch` needs none'
    # A signal ends it in the same way.
    run -0 terminal 80 20 'by rate' $'\003' -- "$BUILD/smuxctl" -c "$smuxshim_conf" top
    assert_output --partial $'\033[?1049l'
}

@test "events tells each connect, its outcome and its end, with documented members only" {
    start_both "127.0.0.1:$peer_port, 127.0.0.1:1"
    spawn events "$BUILD/smuxctl" -c "$smuxshim_conf" events
    local events=$spawned kind
    wait_until "the first line" test -s events.log
    run via python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
    run via python3 "$fixtures/probe.py" errno 127.0.0.1 1
    run ctl connect 127.0.0.1 2
    wait_until "the last event" grep -q 'no route' events.log
    run -0 jq -r .event events.log
    assert_output $'begin\nconnect\nopen\nend\nconnect\nfail\nend\nfail'
    run -0 jq -cs '[.[] | .connections]' events.log
    assert_output '[0,1,1,0,1,1,0,0]'
    for kind in begin connect open fail end; do
        jq -c "select(.event == \"$kind\")" events.log | same_members "Event: $kind"
    done
    run -0 jq -r 'select(.event == "fail") | "\(.errno) \(.reason)"' events.log
    assert_output $'111 Connection refused\n13 no route of this helper leads there'
    ctl stop
    ends 1 "$events"
    assert_equal "$(tail -n 1 events.log)" "smuxctl: the helper has ended"
}

@test "a listener that does not read costs the helper little, and is told how many events it lost" {
    start_both "127.0.0.1:1"
    cat >listener.py <<'END'
import json, os, socket, subprocess, sys, time
control, helper = sys.argv[1], int(sys.argv[2])
def memory():
    return int(next(l for l in open(f"/proc/{helper}/status") if l.startswith("VmRSS")).split()[1])
def ask(s, command):
    s.connect(control)
    s.sendall(json.dumps({"command": command}).encode() + b"\n")
    return s
def connect(n):
    code = "import socket,sys\nfor i in range(int(sys.argv[1])): socket.socket().connect_ex(('127.0.0.1', 1))"
    subprocess.run(sys.argv[3:] + ["python3", "-c", code, str(n)], check=True)
connect(50)
before = memory()
slow = ask(socket.socket(socket.AF_UNIX), "events")
time.sleep(0.2)
connect(700)
grown = memory() - before
lines = slow.makefile()
assert json.loads(next(lines)) == {"ok": True}
seen = lost = 0
while seen + lost < 1 + 3 * 700:
    event = json.loads(next(lines))
    if event["event"] == "lost":
        assert sorted(event) == ["connections", "event", "events", "time"]
        lost += event["events"]
    else:
        seen += 1
assert lost > 100 and seen > 100, (seen, lost)
assert grown < 2048, grown
connect(1) # from here on nothing is lost
assert [json.loads(next(lines))["event"] for i in range(3)] == ["connect", "fail", "end"]
# There is a limit on listeners, and those that have gone do not count.
slow.close()
lines.close()
all = [ask(socket.socket(socket.AF_UNIX), "events").makefile() for i in range(17)]
answers = [json.loads(next(f))["ok"] for f in all]
assert answers == [True] * 16 + [False], answers
END
    python3 listener.py "$PWD/smuxshim-control.sock" "$helper_pid" "$BUILD/smuxshim" -c "$smuxshim_conf"
}

@test "drain --wait tells how many connections are left, until the helper has ended" {
    start_both "127.0.0.1:$peer_port"
    hold 1
    spawn drain "$BUILD/smuxctl" -c "$smuxshim_conf" drain --wait
    local drain=$spawned
    wait_until "the first line" test -s drain.log
    start_helper # which answers smuxctl from now on
    stop "$held_pid"
    ends 0 "$drain"
    run cat drain.log
    assert_line --index 0 --regexp '^draining for [0-9.]+s, connections left: 1 of 1, none has ended yet$'
    assert_line 'drained'
    # On a terminal, here a narrow one, one line is kept up to date.
    : >held.log
    hold 1
    spawn terminal python3 "$fixtures/on_terminal.py" 40 10 -- "$BUILD/smuxctl" -c "$smuxshim_conf" drain --wait
    drain=$spawned
    wait_until "the drain" eval 'ctl status | grep -q draining'
    start_helper
    stop "$held_pid"
    ends 0 "$drain"
    assert_equal "$(tr -d '\r\n' <terminal.log | sed 's/\x1b\[K/|/g; s/\(|1 of 1 left, none has ended yet\)*/@/')" \
        '@|0 of 1 leftdrained'
    # A helper that is stopped meanwhile has not been drained.
    : >held.log
    hold 1
    spawn drain2 "$BUILD/smuxctl" -c "$smuxshim_conf" drain --wait
    drain=$spawned
    wait_until "the first line" test -s drain2.log
    stop "$helper_pid"
    ends 1 "$drain"
    assert_equal "$(tail -n 1 drain2.log)" 'smuxctl: the helper has ended with connections open: 1'
}

@test "options of other commands get one line that says whose they are" {
    smuxshim_conf=/dev/null
    run -2 ctl top --json
    assert_output 'smuxctl: --json: expected with doctor, status, streams, events or names, not with top; see smuxctl --help'
    run -2 ctl streams --wait
    assert_output 'smuxctl: --wait: expected with drain or upgrade, not with streams; see smuxctl --help'
    run -2 ctl streams 1
    assert_output 'smuxctl: expected no argument after streams; see smuxctl --help'
}
