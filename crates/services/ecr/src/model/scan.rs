//! What images were looked through for, and what was found.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

/// An image that was scanned is not scanned again for so long (ECR's quota for basic scans).
const SCAN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// How far a scan is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ScanState {
    /// It is to be done, or being done.
    Waiting,
    /// It was done.
    Complete {
        /// How many findings there are of each severity that there are findings of.
        counts: BTreeMap<String, u32>,
        /// When the advisories were changed last.
        source_at: Option<Timestamp>,
        /// The file with the findings; none without any.
        findings: Option<blobs::Digest>,
    },
    /// The image cannot be read.
    Failed,
    /// It has nothing that could be looked up.
    Unsupported,
    /// There is nothing to look up in.
    Unavailable,
}

/// A scan of an image: the last one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scan {
    /// When it was asked for.
    pub(crate) asked_at: Timestamp,
    /// How far it is.
    pub(crate) state: ScanState,
    /// When that was written.
    pub(crate) changed_at: Timestamp,
    /// What there is to say about it, for people.
    pub(crate) description: Option<String>,
    /// What told the advisories then from those before and after; none without advisories.
    pub(crate) stamp: Option<u64>,
}

impl Scan {
    /// One that was just asked for.
    pub(crate) fn asked(now: Timestamp) -> Self {
        let state = ScanState::Waiting;
        Self { asked_at: now, state, changed_at: now, description: None, stamp: None }
    }

    /// The file with what it found.
    pub(crate) fn stored(&self) -> Option<blobs::Digest> {
        match self.state {
            ScanState::Complete { findings, .. } => findings,
            ScanState::Waiting
            | ScanState::Failed
            | ScanState::Unsupported
            | ScanState::Unavailable => None,
        }
    }

    /// Whether another may begin: one that gave nothing counts for nothing.
    pub(crate) fn is_past(&self, now: Timestamp) -> bool {
        match self.state {
            ScanState::Waiting => false,
            ScanState::Complete { .. } => now >= self.asked_at + SCAN_LIFE,
            ScanState::Failed | ScanState::Unsupported | ScanState::Unavailable => true,
        }
    }
}

/// That an advisory is about a package of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// The advisory: `CVE-…`, or as its makers call it.
    pub(crate) name: String,
    /// What it says.
    pub(crate) description: String,
    /// Where it says more.
    pub(crate) uri: String,
    /// `INFORMATIONAL`, `LOW`, `MEDIUM`, `HIGH`, `CRITICAL` or `UNDEFINED`.
    pub(crate) severity: String,
    /// The package.
    pub(crate) package: String,
    /// Its version in the image.
    pub(crate) version: String,
    /// The first version without it.
    pub(crate) fixed: Option<String>,
    /// CVSS's vector.
    pub(crate) vector: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gave_nothing_counts_for_nothing() {
        let asked_at = Timestamp::from_millis(1_000);
        let (soon, later) = (asked_at + Duration::from_secs(60), asked_at + SCAN_LIFE);
        let complete =
            ScanState::Complete { counts: BTreeMap::new(), source_at: None, findings: None };
        let check = |state: ScanState, expected: [bool; 2]| {
            let scan = Scan { state, ..Scan::asked(asked_at) };
            assert_eq!([scan.is_past(soon), scan.is_past(later)], expected, "{scan:?}");
        };
        check(ScanState::Waiting, [false, false]);
        check(complete, [false, true]);
        check(ScanState::Failed, [true, true]);
        check(ScanState::Unsupported, [true, true]);
        check(ScanState::Unavailable, [true, true]);
    }
}
