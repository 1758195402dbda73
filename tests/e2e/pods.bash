# SPDX-License-Identifier: MIT
# Pods of Kubernetes on this machine: what programs/pods.py needs, and running it.
# shellcheck disable=SC2154

load lib
load networks

# A package of PyPI that has the schemas of Kubernetes' API, and the parser of YAML that pods.py uses.
validator=$BUILD/kubernetes-validate
export PYTHONPATH=$validator PYTHONDONTWRITEBYTECODE=1

# Installs the programs for the containers, and the package. Test files that run at the
# same time take turns.
prepare_pods() { (flock 9 && stage_programs && { [ -d "$validator" ] || fetch_validator; }) 9>"$validator.lock"; }

stage_programs() {
    local stage=$BATS_FILE_TMPDIR/stage
    make -s -C "$root" BUILD="$BUILD" PREFIX=/usr DESTDIR="$stage" install >"$BATS_FILE_TMPDIR/install.log" || return
    rm -rf "${stage:?}/usr/include" "${stage:?}/usr/share"
}

fetch_validator() {
    local try
    for try in 1 2 3; do
        rm -rf "$validator.new"
        python3 -m pip install -q --no-compile --disable-pip-version-check --root-user-action=ignore \
            --target "$validator.new" kubernetes-validate==1.37.0 >&2 && mv "$validator.new" "$validator" && return
        sleep $((5 * try))
    done
    return 1
}

setup_file() { prepare_pods; }

setup() {
    direct && skip "there is no gateway"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    stop_all
    show_logs
}

# run_pod NAME KIND/NAME MANIFEST: in the network $network, or in that of its name, with $hosts as /etc/hosts.
run_pod() {
    in_network "${network-$1}" python3 "$fixtures/pods.py" "$PWD/work" "$1" "$BATS_FILE_TMPDIR/stage" \
        "$PWD/${hosts-hosts}" "$2" "$3"
}

# pod NAME KIND/NAME MANIFEST: runs it until the end of the test, and waits until it is ready.
pod() {
    spawn "$1" run_pod "$@"
    local pid=$spawned
    wait_until "the pod $1" eval "grep -qx ready $1.log || ! alive $pid"
    grep -qx ready "$1.log" && alive "$pid"
}

# once NAME KIND/NAME MANIFEST: runs a pod that ends by itself.
once() {
    run_pod "$@" >"$1.log" 2>&1
}
