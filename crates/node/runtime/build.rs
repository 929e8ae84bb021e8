//! Builds the shim, so that the runtime carries it inside.
//!
//! It is built by a nested cargo in a folder of its own beside the target's profiles, once for all
//! profiles: the shim is always the small one, and cargo itself sees whether anything changed.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// What the nested build must not inherit from the outer one: its lints' wrapper, its flags and
/// its folder.
const NOT_INHERITED: &[&str] = &[
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
];

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let root = manifest.join("../../..").canonicalize()?;
    for watched in ["crates/node/shim/src", "crates/node/shim/Cargo.toml", ".cargo/config.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let folder = shim_folder(&out)?;
    let target = env::var("TARGET")?;
    build(&root, &folder, &target)?;
    let program = fs::read(folder.join(&target).join("shim/longshore-shim"))?;
    let carried = out.join("longshore-shim");
    if fs::read(&carried).ok().as_ref() != Some(&program) {
        fs::write(&carried, &program)?;
    }
    let digest: String = Sha256::digest(&program).iter().map(|b| format!("{b:02x}")).collect();
    println!("cargo::rustc-env=LONGSHORE_SHIM_SHA256={digest}");
    Ok(())
}

/// `<target>/shim-build`, from `<target>/<profile>/build/<package>/out`.
fn shim_folder(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target = out.ancestors().nth(4).ok_or("the output folder is not below a target folder")?;
    Ok(target.join("shim-build"))
}

/// Linked whole and to a fixed place: nothing is looked up or adjusted at a start, which halves its
/// time and leaves a fifth of the memory that would be its own (docs/decisions/0007-shim.md).
const FLAGS: &str =
    "-Ctarget-feature=+crt-static -Crelocation-model=static -Clink-arg=-fuse-ld=lld";

fn build(root: &Path, folder: &Path, target: &str) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    let status = cargo
        .current_dir(root)
        .args(["build", "--quiet", "--package", "shim", "--features", "program"])
        .args(["--bin", "longshore-shim", "--profile", "shim", "--target", target])
        .arg("--target-dir")
        .arg(folder)
        // With a target named they are for it alone, not for macros and build scripts.
        .env("RUSTFLAGS", FLAGS)
        .status()?;
    if status.success() { Ok(()) } else { Err("the shim did not build; see above".into()) }
}
