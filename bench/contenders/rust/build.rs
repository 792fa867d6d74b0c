//! The program says what it was built from.
use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let said = Command::new(rustc).arg("--version").output().map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string());
    println!("cargo:rustc-env=BENCH_RUSTC_VERSION={}", said.unwrap_or_default());
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    let version = lock.split("name = \"quinn\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("unknown");
    println!("cargo:rustc-env=BENCH_QUINN_VERSION={version}");
    println!("cargo:rerun-if-changed=Cargo.lock");
}
