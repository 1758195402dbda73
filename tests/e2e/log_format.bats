#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# log-format: both daemons say the same in text and in JSON, from their first line on.

load tls

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "there are no daemons without the shim"; fi
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    stop_all
    show_logs
}

# has FILE JQ-CONDITION: whether a line of JSON fulfils it.
has() { jq -es "map(select($2)) | length > 0" "$1" >/dev/null; }

# all_json FILE: every line is an object with all that each has.
all_json() {
    [ "$(wc -l <"$1")" -gt 0 ]
    jq -es 'all(has("time") and has("level") and has("program") and has("pid") and has("message")) and
            all(.time | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{6}Z$"))' "$1" >/dev/null
}

@test "in JSON both daemons say who, where to and why, and SIGHUP changes the format" {
    gateway_conf_lines='log-format = json' gateway_allow=127.0.0.1:1 helper_lines='log-format = json' start_both '*'
    run ctl connect 127.0.0.1 "$peer_port" </dev/null
    assert_failure
    all_json gateway.log
    all_json helper.log
    has gateway.log '.level == "info" and .program == "smux-gateway" and .pid == '"$gateway_pid"'
        and (.peer // "" | test("^127.0.0.1:[0-9]+$")) and .message == "session begins"'
    has gateway.log '.stream > 0 and .destination == "127.0.0.1:'"$peer_port"'"
        and .message == "connect to 127.0.0.1:'"$peer_port"' failed: not in the allow list"'
    has helper.log '.gateway == "main" and (.peer // "" | endswith("://127.0.0.1:'"$gateway_port"'")) and .message == "session begins"'
    has helper.log '.from_uid == '"$(id -u)"' and .from_pid > 0 and .destination == "127.0.0.1:'"$peer_port"'"'
    sed -i 's/^log-format = json/log-format = text/' "$gateway_conf" "$smuxshim_conf"
    kill -HUP "$gateway_pid" "$helper_pid"
    wait_until "text" grep -qE "^[0-9TZ:.-]+ smux-gateway\[$gateway_pid\] info: configuration reloaded" gateway.log
    wait_until "text" grep -qE "^[0-9TZ:.-]+ smux-helper\[$helper_pid\] info: configuration reloaded" helper.log
}

@test "with several workers the supervisor reloads as well: its log, and what later workers begin with" {
    gateway_conf_lines=$'workers = 2\nlog-format = text' start_both '*'
    sed -i 's/^log-format = text/log-format = json/; s/^allow = .*/allow = 127.0.0.1:1/' "$gateway_conf"
    kill -HUP "$gateway_pid"
    wait_until "both workers" eval '[ "$(grep -c "\"message\":\"configuration reloaded" gateway.log)" = 2 ]'
    # Workers that are started while the file is invalid have the last valid one, not the first.
    echo 'nonsense' >>"$gateway_conf"
    pkill -KILL -P "$gateway_pid"
    wait_until "two new workers" eval '[ "$(grep -c "the last valid configuration stays in force" gateway.log)" = 2 ]'
    run ctl connect 127.0.0.1 "$peer_port" </dev/null
    assert_output 'smuxctl: Permission denied'
    wait_until "the supervisor's line" grep -q "\"pid\":$gateway_pid,\"message\":\"worker 0 (pid [0-9]*) was killed by signal 9\"" gateway.log
}

@test "what is logged about keys at the start is in the log, in its format" {
    gateway_port=$(free_port)
    printf '%s\n' '[listen]' "address = tls://127.0.0.1:$gateway_port" 'insecure = yes' "key = $PWD/made.key" \
        "log-file = $PWD/own.log" 'log-format = json' >gateway.conf
    serve gateway "$gateway_port" "$BUILD/smux-gateway" -c gateway.conf
    all_json own.log
    has own.log '.program == "smux-gateway" and .file == "'"$PWD"'/made.key" and (.message | contains("made a key, with pin sha256//"))'
    has own.log '.level == "warn" and (.message | startswith("tls:// addresses are open to every client"))'
    assert_equal "$(cat gateway.log)" ""
    authority ca
    certificate laptop ca laptop "${expired[@]}"
    gateway_url=tls://127.0.0.1:$gateway_port gateway_lines="ca = $PWD/ca.pem\ncert = $PWD/laptop.pem\nkey = $PWD/laptop.key" \
        helper_lines="log-format = json\nlog-file = $PWD/helper.own.log" write_smuxshim_conf '*'
    start_helper
    all_json helper.own.log
    has helper.own.log '.program == "smux-helper" and .message == "'"$PWD"'/laptop.pem: the certificate has expired"'
    assert_equal "$(cat helper.log)" ""
}

@test "a reload that fails names file and line, and a format that is none is one line" {
    start_gateway
    run -2 "$BUILD/smux-gateway" -c "$gateway_conf" --log-format xml
    assert_output 'smux-gateway: command line: log-format: expected text or json, not "xml"'
    write_smuxshim_conf '*'
    run -2 "$BUILD/smux-helper" -c "$smuxshim_conf" -f --log-format xml
    assert_output 'smux-helper: command line: log-format: expected text or json, not "xml"'
    stop "$gateway_pid"
    serve gateway "$gateway_port" "$BUILD/smux-gateway" -c "$gateway_conf" --log-format json
    printf 'allow = x y:z\n' >>"$gateway_conf"
    kill -HUP "$spawned"
    wait_until "the refusal" grep -q 'not reloaded' gateway.log
    grep -v ' smux-gateway\[' gateway.log >json.log
    has json.log '.level == "error" and .file == "'"$gateway_conf"'" and .line == '"$(wc -l <"$gateway_conf")"
}

@test "to the journal each line begins with its priority" {
    gateway_port=$(free_port)
    : >journal
    stream=$(stat -c %d:%i journal)
    JOURNAL_STREAM=$stream "$BUILD/smux-gateway" --listen "tcp://127.0.0.1:$gateway_port" --allow '*' \
        2>>journal 3>&- &
    echo "$! TERM" >>"$(work)/spawned"
    wait_until "the gateway" listening "$gateway_port"
    stop $!
    assert_equal "$(grep -vc '^<[0-7]>[^0-9]' journal)" 0
    grep -q "^<6>listening at tcp://127.0.0.1:$gateway_port$" journal
}
