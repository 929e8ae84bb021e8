//! `cargo xtask tidy`: the rules of the house that the compiler does not hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The most lines that a source file may have; longer ones are two rooms in one.
const FILE_LINES_MAX: usize = 500;

/// Checks edges between crates and sizes of files; every finding is printed before it fails.
///
/// # Errors
/// If anything was found, or the workspace could not be read.
pub fn run(root: &Path) -> Result<()> {
    let mut findings = Vec::new();
    findings.extend(check_edges(root)?);
    findings.extend(check_sizes(root)?);
    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    bail!("{} finding(s)", findings.len());
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<PathBuf>,
}

fn check_edges(root: &Path) -> Result<Vec<String>> {
    let file = root.join("xtask/edges.toml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let allowed: BTreeMap<String, Vec<String>> = toml::from_str(&text)?;
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    Ok(metadata.packages.iter().flat_map(|package| package_findings(package, &allowed)).collect())
}

/// Edges of one package that `edges.toml` does not allow.
fn package_findings(package: &Package, allowed: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let Some(edges) = allowed.get(&package.name) else {
        return vec![format!("crate {} has no entry in xtask/edges.toml", package.name)];
    };
    let is_forbidden = |dependency: &&Dependency| {
        let is_ours = dependency.path.is_some();
        let is_for_tests = dependency.kind.as_deref() == Some("dev");
        is_ours && !is_for_tests && !edges.contains(&dependency.name)
    };
    let tell = |dependency: &Dependency| {
        format!("crate {} may not use {} (xtask/edges.toml)", package.name, dependency.name)
    };
    package.dependencies.iter().filter(is_forbidden).map(tell).collect()
}

fn check_sizes(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(root)
        .output()
        .context("git ls-files")?;
    let mut findings = Vec::new();
    for name in String::from_utf8(output.stdout)?.lines() {
        let Ok(text) = std::fs::read_to_string(root.join(name)) else { continue };
        let is_generated = text.starts_with("// @generated");
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX && !is_generated {
            findings.push(format!("{name} has {lines} lines; split it by {FILE_LINES_MAX}"));
        }
    }
    Ok(findings)
}
