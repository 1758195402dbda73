// SPDX-License-Identifier: MIT
//! Makes the version of async_smux, as Cargo.lock pins it, known to --about.

fn main() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    let lock = std::fs::read_to_string("Cargo.lock").expect("Cargo.lock");
    let entry = lock.split("[[package]]").find(|e| e.contains("name = \"async_smux\""));
    let version = entry
        .and_then(|e| e.lines().find_map(|l| l.strip_prefix("version = ")))
        .expect("async_smux in Cargo.lock");
    println!("cargo:rustc-env=ASYNC_SMUX_VERSION={}", version.trim_matches('"'));
}
