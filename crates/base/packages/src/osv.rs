//! Advisories in the form of OSV (ossf.github.io/osv-schema): what they are about, and whether a package is.

use serde::Deserialize;

use crate::python::normal;
use crate::versions::compare;
use crate::{Ecosystem, Package, ReadError, Release, malformed};

/// How bad a finding is, by ECR's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nobody says.
    Undefined,
    /// No more than told.
    Informational,
    /// CVSS under 4.
    Low,
    /// CVSS under 7.
    Medium,
    /// CVSS under 9.
    High,
    /// CVSS of 9 and more.
    Critical,
}

/// An advisory.
#[derive(Clone, Debug, Deserialize)]
pub struct Advisory {
    /// Its own name.
    pub id: String,
    /// Others' names for the same: `CVE-…`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Names of what it was made from: a distribution's is of one of all the world's.
    #[serde(default)]
    pub upstream: Vec<String>,
    /// In a line.
    #[serde(default)]
    pub summary: String,
    /// At length.
    #[serde(default)]
    pub details: String,
    /// When it was changed last, as it says.
    #[serde(default)]
    pub modified: String,
    withdrawn: Option<String>,
    #[serde(default)]
    severity: Vec<Score>,
    #[serde(default)]
    affected: Vec<Affected>,
    #[serde(default)]
    references: Vec<Reference>,
    #[serde(default)]
    database_specific: Option<Specific>,
}

#[derive(Clone, Debug, Deserialize)]
struct Reference {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    url: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Score {
    #[serde(rename = "type")]
    kind: String,
    score: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Specific {
    severity: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Affected {
    package: Option<Named>,
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    severity: Vec<Score>,
}

#[derive(Clone, Debug, Deserialize)]
struct Named {
    ecosystem: String,
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Clone, Debug, Deserialize)]
struct Event {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
}

/// That a package is affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// How bad it is.
    pub severity: Severity,
    /// CVSS's vector, if there is one.
    pub vector: Option<String>,
    /// The first version without it, of the package or what it was built from.
    pub fixed: Option<String>,
}

impl Advisory {
    /// Reads one.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        match serde_json::from_slice(bytes) {
            Ok(advisory) => Ok(advisory),
            Err(error) => malformed(format!("no advisory in OSV's form: {error}")),
        }
    }

    /// The packages that it is about, as ecosystem and name, for who keeps many.
    pub fn packages(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.affected.iter().filter_map(|affected| affected.package.as_ref());
        named.map(|named| (named.ecosystem.as_str(), named.name.as_str()))
    }

    /// The name that most know it by: that of CVE, if there is just one.
    pub fn name(&self) -> &str {
        let is_cve = |name: &&String| name.starts_with("CVE-");
        if is_cve(&&self.id) {
            return &self.id;
        }
        let mut others = self.aliases.iter().chain(&self.upstream).filter(is_cve);
        match (others.next(), others.next()) {
            (Some(only), None) => only,
            _ => &self.id,
        }
    }

    /// Where more is said about it: what it names itself, or else OSV's page.
    pub fn uri(&self) -> String {
        let is_meant = |one: &&Reference| one.kind == "ADVISORY" && one.url.starts_with("https://");
        match self.references.iter().find(is_meant) {
            Some(reference) => reference.url.clone(),
            None => format!("https://osv.dev/vulnerability/{}", self.id),
        }
    }

    /// Whether it is about a package, of an image of this release.
    pub fn matches(&self, package: &Package, release: Option<&Release>) -> Option<Match> {
        if self.withdrawn.is_some() {
            return None;
        }
        let (ecosystem, name, version) = subject(package, release)?;
        let affected = self.affected.iter().find(|affected| {
            let is_meant = affected.package.as_ref().is_some_and(|named| {
                is_same_ecosystem(&named.ecosystem, &ecosystem)
                    && is_same_name(package.ecosystem, &named.name, name)
            });
            is_meant && affected.has(package.ecosystem, version)
        })?;
        let scores = affected.severity.iter().chain(&self.severity);
        let vector = scores.filter(|score| score.kind.starts_with("CVSS_V3")).map(|one| &one.score);
        let vector = vector.map(String::as_str).next();
        let told = self.database_specific.as_ref().and_then(|specific| specific.severity.as_ref());
        let told = told.and_then(|value| value.as_str()).and_then(severity_of_word);
        let severity = told.or_else(|| vector.and_then(base_score).map(severity_of_score));
        // Distributions that rate by words: `{"type": "Ubuntu", "score": "medium"}`.
        let words = || affected.severity.iter().chain(&self.severity).map(|one| one.score.as_str());
        let severity = severity.or_else(|| words().find_map(severity_of_word));
        Some(Match {
            severity: severity.unwrap_or(Severity::Undefined),
            vector: vector.map(str::to_owned),
            fixed: affected.fixed_after(package.ecosystem, version).map(str::to_owned),
        })
    }
}

/// What advisories call a package: those of distributions are about what it was built from.
fn subject<'a>(
    package: &'a Package,
    release: Option<&Release>,
) -> Option<(String, &'a str, &'a str)> {
    let own = (package.name.as_str(), package.version.as_str());
    let source = package.source.as_ref();
    let source = source.map_or(own, |source| (source.name.as_str(), source.version.as_str()));
    let (ecosystem, (name, version)) = match package.ecosystem {
        Ecosystem::Dpkg | Ecosystem::Apk => (release?.osv_name()?, source),
        // Those of rpm's distributions name what is installed.
        Ecosystem::Rpm => (release?.osv_name()?, own),
        other => (other.to_string(), own),
    };
    Some((ecosystem, name, version))
}

/// Whether an advisory's ecosystem is one of ours: `Debian:12` is meant by `Debian:12`; by
/// `Ubuntu:22.04:LTS`, `Ubuntu:22.04` is.
pub fn is_same_ecosystem(named: &str, ours: &str) -> bool {
    named == ours || named.strip_prefix(ours).is_some_and(|rest| rest.starts_with(':'))
}

fn is_same_name(ecosystem: Ecosystem, named: &str, ours: &str) -> bool {
    match ecosystem {
        Ecosystem::PyPi => normal(named) == normal(ours),
        _ => named.eq_ignore_ascii_case(ours),
    }
}

/// What to look up advisories by: the same for names that may mean the same package, and now and then for
/// others.
pub fn search_name(name: &str) -> String {
    normal(name)
}

impl Affected {
    fn has(&self, ecosystem: Ecosystem, version: &str) -> bool {
        self.versions.iter().any(|known| known == version)
            || self.spans().any(|range| range.has(ecosystem, version))
    }

    fn spans(&self) -> impl Iterator<Item = &Range> {
        // Those of git name commits.
        self.ranges.iter().filter(|range| range.kind == "ECOSYSTEM" || range.kind == "SEMVER")
    }

    /// The first fixed version behind this one.
    fn fixed_after(&self, ecosystem: Ecosystem, version: &str) -> Option<&str> {
        let fixed = self.spans().flat_map(|range| &range.events);
        let fixed = fixed.filter_map(|event| event.fixed.as_deref());
        let later = fixed.filter(|fixed| compare(ecosystem, fixed, version).is_gt());
        later.min_by(|a, b| compare(ecosystem, a, b))
    }
}

impl Range {
    fn has(&self, ecosystem: Ecosystem, version: &str) -> bool {
        // The last event that the version has passed decides; of two at one version, the end.
        let mut passed: Option<(&str, bool)> = None;
        for event in &self.events {
            let (at, begins, is_passed) = match event {
                Event { introduced: Some(at), .. } => {
                    (at, true, at == "0" || compare(ecosystem, at, version).is_le())
                }
                Event { fixed: Some(at), .. } => {
                    (at, false, compare(ecosystem, at, version).is_le())
                }
                Event { last_affected: Some(at), .. } => {
                    (at, false, compare(ecosystem, at, version).is_lt())
                }
                _ => continue,
            };
            let is_later = |before: &str| {
                before == "0" || (at != "0" && compare(ecosystem, at, before).is_ge())
            };
            if is_passed && passed.is_none_or(|(before, _)| is_later(before)) {
                passed = Some((at, begins));
            }
        }
        passed.is_some_and(|(_, begins)| begins)
    }
}

fn severity_of_word(word: &str) -> Option<Severity> {
    Some(match word.to_ascii_uppercase().as_str() {
        "LOW" => Severity::Low,
        "MODERATE" | "MEDIUM" => Severity::Medium,
        "HIGH" | "IMPORTANT" => Severity::High,
        "CRITICAL" => Severity::Critical,
        _ => return None,
    })
}

fn severity_of_score(score: f64) -> Severity {
    match score {
        score if score >= 9.0 => Severity::Critical,
        score if score >= 7.0 => Severity::High,
        score if score >= 4.0 => Severity::Medium,
        score if score > 0.0 => Severity::Low,
        _ => Severity::Informational,
    }
}

/// The base score of a vector of CVSS 3 (first.org, CVSS v3.1 specification, §7.1).
pub fn base_score(vector: &str) -> Option<f64> {
    let metric = |name: &str| {
        let mut parts = vector.split('/').filter_map(|part| part.split_once(':'));
        parts.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    let is_changed = metric("S")? == "C";
    let weight = |name: &str, weights: &[(&str, f64)]| {
        let value = metric(name)?;
        weights.iter().find(|(known, _)| *known == value).map(|(_, weight)| *weight)
    };
    let impact = [("H", 0.56), ("L", 0.22), ("N", 0.0)];
    let (c, i, a) = (weight("C", &impact)?, weight("I", &impact)?, weight("A", &impact)?);
    let rights = match is_changed {
        true => [("N", 0.85), ("L", 0.68), ("H", 0.5)],
        false => [("N", 0.85), ("L", 0.62), ("H", 0.27)],
    };
    let exploitability = 8.22
        * weight("AV", &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?
        * weight("AC", &[("L", 0.77), ("H", 0.44)])?
        * weight("PR", &rights)?
        * weight("UI", &[("N", 0.85), ("R", 0.62)])?;
    let base = 1.0 - (1.0 - c) * (1.0 - i) * (1.0 - a);
    let impact = match is_changed {
        true => 7.52 * (base - 0.029) - 3.25 * (base - 0.02).powi(15),
        false => 6.42 * base,
    };
    if impact <= 0.0 {
        return Some(0.0);
    }
    let sum = if is_changed { 1.08 * (impact + exploitability) } else { impact + exploitability };
    Some(round_up(sum.min(10.0)))
}

/// To one digit, upwards, without the noise of fractions (the specification's appendix A).
fn round_up(score: f64) -> f64 {
    let whole = (score * 100_000.0).round();
    match whole % 10_000.0 == 0.0 {
        true => whole / 100_000.0,
        false => ((whole / 10_000.0).floor() + 1.0) / 10.0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::Source;

    fn advisory(events: serde_json::Value) -> Advisory {
        let text = json!({
            "id": "X-1", "aliases": ["CVE-2024-0001"], "modified": "2024-01-01T00:00:00Z",
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            "affected": [
                {"package": {"ecosystem": "Debian:12", "name": "glibc"},
                 "ranges": [{"type": "ECOSYSTEM", "events": events}]},
                {"package": {"ecosystem": "npm", "name": "left-pad"}, "versions": ["1.0.0"]},
            ],
        });
        Advisory::read(text.to_string().as_bytes()).unwrap()
    }

    fn libc(version: &str) -> Package {
        let source = Source { name: "glibc".to_owned(), version: version.to_owned() };
        Package { source: Some(source), ..Package::new(Ecosystem::Dpkg, "libc6", version) }
    }

    #[test]
    fn packages_are_found_by_what_they_were_built_from() {
        let debian = Release { id: "debian".to_owned(), version: "12".to_owned() };
        let told = advisory(json!([{"introduced": "0"}, {"fixed": "2.36-9+deb12u4"}]));
        let found = told.matches(&libc("2.36-9+deb12u3"), Some(&debian)).unwrap();
        assert_eq!(found.severity, Severity::Critical);
        assert_eq!(found.fixed.as_deref(), Some("2.36-9+deb12u4"));
        assert_eq!(told.matches(&libc("2.36-9+deb12u4"), Some(&debian)), None);
        let other = Release { version: "11".to_owned(), ..debian };
        assert_eq!(told.matches(&libc("2.36-9+deb12u3"), Some(&other)), None);
        let npm = Package::new(Ecosystem::Npm, "left-pad", "1.0.0");
        assert!(told.matches(&npm, None).is_some());
        assert_eq!(told.packages().count(), 2);
    }

    #[test]
    fn names_and_pages_are_those_that_most_know() {
        let check = |value: serde_json::Value, name: &str, uri: &str| {
            let advisory = Advisory::read(value.to_string().as_bytes()).unwrap();
            assert_eq!((advisory.name(), advisory.uri().as_str()), (name, uri));
        };
        let own = "https://x.test/1";
        let references =
            json!([{"type": "FIX", "url": "https://x.test/2"}, {"type": "ADVISORY", "url": own}]);
        check(json!({"id": "CVE-1", "references": references}), "CVE-1", own);
        let page = "https://osv.dev/vulnerability/GHSA-1";
        check(json!({"id": "GHSA-1", "aliases": ["PYSEC-1", "CVE-1"]}), "CVE-1", page);
        check(json!({"id": "GHSA-1", "upstream": ["CVE-1", "CVE-2"]}), "GHSA-1", page);
    }

    #[test]
    fn names_of_pypi_are_spelt_in_many_ways() {
        let text = json!({"id": "PYSEC-1", "severity": [{"type": "Ubuntu", "score": "low"}], "affected": [
            {"package": {"ecosystem": "PyPI", "name": "Zope.Interface"}, "versions": ["6.0"]}]});
        let advisory = Advisory::read(text.to_string().as_bytes()).unwrap();
        let found = advisory.matches(&Package::new(Ecosystem::PyPi, "zope-interface", "6.0"), None);
        assert_eq!(found.unwrap().severity, Severity::Low);
        assert_eq!(search_name("Zope.Interface"), search_name("zope-interface"));
    }

    #[test]
    fn ranges_open_and_close() {
        let debian = Release { id: "debian".to_owned(), version: "12".to_owned() };
        let check = |events: serde_json::Value, version: &str, expected: bool| {
            let found = advisory(events.clone()).matches(&libc(version), Some(&debian)).is_some();
            assert_eq!(found, expected, "{events} {version}");
        };
        let twice = json!([{"introduced": "1.0"}, {"fixed": "1.5"}, {"introduced": "2.0"},
            {"last_affected": "2.5"}]);
        for (version, expected) in [
            ("0.9", false),
            ("1.0", true),
            ("1.4", true),
            ("1.5", false),
            ("1.9", false),
            ("2.0", true),
            ("2.5", true),
            ("2.6", false),
        ] {
            check(twice.clone(), version, expected);
        }
        check(json!([{"fixed": "2.0"}, {"introduced": "0"}]), "3.0", false);
        check(json!([]), "1.0", false);
    }

    #[test]
    fn scores_are_those_of_the_calculator() {
        for (vector, expected) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
            ("CVSS:3.0/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
            ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1.6),
        ] {
            assert_eq!(base_score(vector), Some(expected), "{vector}");
        }
        assert_eq!(base_score("CVSS:4.0/AV:N"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Advisory::read(&bytes);
        }

        #[test]
        fn what_is_before_the_fix_is_affected(fixed in 1..50_u32, version in 0..60_u32) {
            let debian = Release { id: "debian".to_owned(), version: "12".to_owned() };
            let events = json!([{"introduced": "0"}, {"fixed": format!("1.{fixed}")}]);
            let found = advisory(events).matches(&libc(&format!("1.{version}")), Some(&debian));
            prop_assert_eq!(found.is_some(), version < fixed);
        }
    }
}
