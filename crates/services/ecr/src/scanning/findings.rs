//! What the advisories say about what is in an image.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use packages::{Advisory, Ecosystem, Match, Package, ReadError, Release, Severity, search_name};
use terms::Timestamp;
use tokio_util::sync::CancellationToken;

use super::advisories::{Advisories, check};
use super::contents::{Contents, Found};
use crate::model::Finding;

/// Findings of one image: of more, the worst are kept.
const FINDINGS_MAX: usize = 10_000;
/// Packages and advisories that are held against each other for one image: far more than for any that is
/// meant to be used.
const PAIRS_MAX: u64 = 20_000_000;
/// The longest description that is kept, in characters.
const DESCRIPTION_CHARS_MAX: usize = 500;
/// What is told at most of files that cannot be read.
const TOLD_MAX: usize = 3;
/// What ECR says where it knows neither distribution nor package manager.
const UNSUPPORTED: &str = "UnsupportedImageError: The operating system and/or package manager are not \
                           supported.";

/// What came of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done.
    Complete {
        /// What was found, the worst first.
        findings: Vec<Finding>,
        /// When the advisories were changed last.
        source_at: Option<Timestamp>,
        /// For people: also what was not looked at.
        description: String,
    },
    /// The image cannot be read: why.
    Failed(String),
    /// It has nothing that could be looked up: why.
    Unsupported(String),
    /// There is nothing to look up in: why.
    Unavailable(String),
}

/// Looks up all that is in an image.
///
/// # Errors
/// If the advisories cannot be read, or if all is to stop.
pub(super) fn judge(
    contents: &Contents,
    advisories: &Advisories,
    stop: &CancellationToken,
) -> io::Result<Outcome> {
    if advisories.count() == 0 {
        let text = "There are no advisories in the folder of --registry-osv.";
        return Ok(Outcome::Unavailable(text.to_owned()));
    }
    let mut unread = Vec::new();
    for (path, found) in contents.files() {
        let Found::Unreadable(form, problem) = found else { continue };
        match problem {
            ReadError::Unsupported(_) if form.is_of_system() => {
                return Ok(Outcome::Unsupported(format!("{UNSUPPORTED} {path}: {problem}")));
            }
            _ if form.is_of_system() => return Ok(Outcome::Failed(format!("{path}: {problem}"))),
            _ => unread.push(format!("{path}: {problem}")),
        }
    }
    let listed = contents.files().values().filter_map(|found| match found {
        Found::Packages(packages) => Some(packages),
        Found::Unreadable(..) | Found::Release(_) => None,
    });
    let packages: BTreeSet<&Package> = listed.flatten().collect();
    let uncovered = match coverage(&packages, contents.release(), advisories) {
        Ok(uncovered) => uncovered,
        Err(why) => return Ok(Outcome::Unsupported(format!("{UNSUPPORTED} {why}"))),
    };
    let looked = look_up(&packages, contents.release(), advisories, stop)?;
    let Some((findings, count)) = looked else {
        let text = "There are more packages in the image than can be looked up.";
        return Ok(Outcome::Failed(text.to_owned()));
    };
    let mut description = "The scan was completed successfully.".to_owned();
    if count > findings.len() {
        description += &format!(" Of {count} findings, the worst {FINDINGS_MAX} are shown.");
    }
    if !uncovered.is_empty() {
        description += &format!(" There are no advisories about: {}.", uncovered.join(", "));
    }
    if advisories.unreadable() > 0 {
        let files = advisories.unreadable();
        description += &format!(" {files} files of the advisories could not be read.");
    }
    if !unread.is_empty() {
        let told: Vec<_> = unread.iter().take(TOLD_MAX).map(String::as_str).collect();
        let (files, told) = (unread.len(), told.join("; "));
        description += &format!(" {files} files of the image could not be read: {told}.");
    }
    Ok(Outcome::Complete { findings, source_at: advisories.updated_at(), description })
}

/// The ecosystems of an image's packages that there are no advisories about.
///
/// # Errors
/// Why nothing could be said of the image: that nothing was found would be no news.
fn coverage(
    packages: &BTreeSet<&Package>,
    release: Option<&Release>,
    advisories: &Advisories,
) -> Result<Vec<String>, String> {
    let ecosystems: BTreeSet<Ecosystem> = packages.iter().map(|one| one.ecosystem).collect();
    if ecosystems.is_empty() {
        return Err("No packages were found in the image.".to_owned());
    }
    let (systems, languages): (Vec<Ecosystem>, Vec<_>) =
        ecosystems.into_iter().partition(is_system);
    if !systems.is_empty() {
        let Some(release) = release else {
            return Err("The image has no os-release.".to_owned());
        };
        let Some(name) = release.osv_name() else {
            let Release { id, version } = release;
            return Err(format!("It is '{id}' version '{version}'."));
        };
        if !advisories.covers(&name) {
            return Err(format!("There are no advisories about {name}."));
        }
    }
    let count = languages.len();
    let names = languages.iter().map(Ecosystem::to_string);
    let uncovered: Vec<_> = names.filter(|name| !advisories.covers(name)).collect();
    match systems.is_empty() && uncovered.len() == count {
        true => Err(format!("There are no advisories about {}.", uncovered.join(", "))),
        false => Ok(uncovered),
    }
}

/// Whether its advisories are a distribution's.
fn is_system(ecosystem: &Ecosystem) -> bool {
    match ecosystem {
        Ecosystem::Dpkg | Ecosystem::Apk | Ecosystem::Rpm => true,
        Ecosystem::CratesIo | Ecosystem::Go | Ecosystem::PyPi | Ecosystem::Npm => false,
    }
}

/// What is found, the worst first, and how much it is with what is not kept; none if it is too much to
/// look up.
fn look_up(
    packages: &BTreeSet<&Package>,
    release: Option<&Release>,
    advisories: &Advisories,
    stop: &CancellationToken,
) -> io::Result<Option<(Vec<Finding>, usize)>> {
    let mut by_name = BTreeMap::<String, Vec<&Package>>::new();
    for &package in packages {
        let source = package.source.iter().map(|source| source.name.as_str());
        let names = source.chain([package.name.as_str()]).map(search_name);
        for name in names.collect::<BTreeSet<_>>() {
            by_name.entry(name).or_default().push(package);
        }
    }
    // Several advisories may be about the same: the worst of them counts.
    let mut worst = BTreeMap::<(String, String, String), (Severity, Finding)>::new();
    let mut pairs = 0;
    advisories.about(by_name.keys().map(String::as_str), |advisory| {
        check(stop)?;
        let names: BTreeSet<_> = advisory.packages().map(|(_, name)| search_name(name)).collect();
        for &package in names.iter().filter_map(|name| by_name.get(name)).flatten() {
            pairs += 1;
            if pairs > PAIRS_MAX {
                break;
            }
            let Some(matched) = advisory.matches(package, release) else { continue };
            let severity = matched.severity;
            let finding = finding(advisory, package, matched);
            let key = (finding.name.clone(), finding.package.clone(), finding.version.clone());
            let is_worse = worst.get(&key).is_none_or(|(known, _)| *known < severity);
            if is_worse {
                worst.insert(key, (severity, finding));
            }
        }
        Ok(())
    })?;
    if pairs > PAIRS_MAX {
        return Ok(None);
    }
    let mut found: Vec<_> = worst.into_values().collect();
    // What is equally bad stays in the order of names.
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    let count = found.len();
    found.truncate(FINDINGS_MAX);
    Ok(Some((found.into_iter().map(|(_, finding)| finding).collect(), count)))
}

fn finding(advisory: &Advisory, package: &Package, matched: Match) -> Finding {
    let text = if advisory.summary.is_empty() { &advisory.details } else { &advisory.summary };
    Finding {
        name: advisory.name().to_owned(),
        description: text.chars().take(DESCRIPTION_CHARS_MAX).collect(),
        uri: advisory.uri(),
        severity: word(matched.severity).to_owned(),
        package: package.name.clone(),
        version: package.version.clone(),
        fixed: matched.fixed,
        vector: matched.vector,
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Undefined => "UNDEFINED",
        Severity::Informational => "INFORMATIONAL",
        Severity::Low => "LOW",
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
        Severity::Critical => "CRITICAL",
    }
}
