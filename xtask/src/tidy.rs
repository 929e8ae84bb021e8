//! `cargo xtask tidy`: the rules of the house that the compiler does not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::codegen::model::{self, Built, Model};

/// The most lines that a source file may have; longer ones are two rooms in one.
const FILE_LINES_MAX: usize = 500;

/// Checks edges between crates, sizes of files, and that it is known of every operation what it is
/// decided on; every finding is printed before it fails.
///
/// # Errors
/// If anything was found, or the workspace could not be read.
pub fn run(root: &Path) -> Result<()> {
    let mut findings = Vec::new();
    findings.extend(check_edges(root)?);
    findings.extend(check_sizes(root)?);
    findings.extend(check_operations(root)?);
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

/// Where it stands what each operation is decided on.
const DECIDED_ON: &str = "crates/services/iam/src/authorize/operations.txt";

/// Operations that are built and of which nobody knows what they are decided on: the edge refuses
/// them to all whose policies count.
fn check_operations(root: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(DECIDED_ON)).context(DECIDED_ON)?;
    let built = model::read_built(root)?;
    let mut names = BTreeMap::new();
    for service in built.keys() {
        let metadata = Model::read(root, service)?.metadata;
        names.insert(service.clone(), metadata.signing_name.unwrap_or(metadata.endpoint_prefix));
    }
    Ok(undecided(&text, &built, &names))
}

fn undecided(table: &str, built: &Built, names: &BTreeMap<String, String>) -> Vec<String> {
    let mut listed = BTreeSet::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let (Some(service), Some(operations)) = (words.next(), words.next()) else { continue };
        listed.extend(operations.split(',').map(|operation| (service, operation)));
    }
    let mut findings = Vec::new();
    for (service, operations) in built {
        let name = names.get(service).unwrap_or(service);
        for operation in operations.keys() {
            if !listed.contains(&(name.as_str(), operation.as_str())) {
                findings.push(format!("{name} {operation} has no entry in {DECIDED_ON}"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_without_an_entry_is_found() {
        let of = |names: &[&str]| {
            names.iter().map(|name| ((*name).to_owned(), "done".to_owned())).collect()
        };
        let built: Built = [
            ("ecs".to_owned(), of(&["RunTask", "StopTask"])),
            ("cloudwatch".to_owned(), of(&["PutMetricAlarm"])),
        ]
        .into();
        let names = [
            ("ecs".to_owned(), "ecs".to_owned()),
            ("cloudwatch".to_owned(), "monitoring".to_owned()),
        ]
        .into();
        let table =
            "# a remark\necs RunTask,ListTasks *\nmonitoring PutMetricAlarm alarm:{AlarmName}\n";
        let found = undecided(table, &built, &names);
        assert_eq!(found, [format!("ecs StopTask has no entry in {DECIDED_ON}")]);
    }
}
