//! Scans of images, and what they found.

use shapes::{FindingSeverity, ScanStatus};
use shapes_ecr as shapes;
use shapes_ecr::errors as codes;
use wire::Context;

use super::key;
use super::paging::page;
use crate::Inner;
use crate::error::Error;
use crate::model::{Finding, Scan, ScanState, Status};
use crate::push::{Named, beside};
use crate::scanning::findings_of;
use crate::tables::NameKey;

/// Findings of one page if the request does not say.
const PAGE_ITEMS: usize = 100;
/// The longest value of an attribute, in characters (the model's).
const ATTRIBUTE_CHARS_MAX: usize = 256;

/// How far a scan is, as answers have it.
pub(super) fn status_of(scan: &Scan) -> shapes::ImageScanStatus {
    shapes::ImageScanStatus {
        description: scan.description.clone(),
        status: Some(scan_status(scan)),
    }
}

/// The same in one word.
pub(crate) fn scan_status(scan: &Scan) -> ScanStatus {
    match scan.state {
        ScanState::Waiting => ScanStatus::InProgress,
        ScanState::Complete { .. } => ScanStatus::Complete,
        ScanState::Failed => ScanStatus::Failed,
        ScanState::Unsupported => ScanStatus::UnsupportedImage,
        ScanState::Unavailable => ScanStatus::FindingsUnavailable,
    }
}

/// How much it found; none if it is not complete.
pub(super) fn summary_of(scan: &Scan) -> Option<shapes::ImageScanFindingsSummary> {
    let ScanState::Complete { counts, source_at, .. } = &scan.state else { return None };
    let count = |(severity, count): (&String, &u32)| {
        (severity.clone(), i32::try_from(*count).unwrap_or(i32::MAX))
    };
    Some(shapes::ImageScanFindingsSummary {
        finding_severity_counts: Some(counts.iter().map(count).collect()),
        image_scan_completed_at: Some(scan.changed_at),
        vulnerability_source_updated_at: *source_at,
    })
}

/// A finding in the form of basic scans; `fixed_in_version` is ours.
fn show(finding: &Finding) -> shapes::ImageScanFinding {
    let score = finding.vector.as_deref().and_then(packages::base_score);
    let score = score.map(|score| format!("{score:.1}"));
    let told = [
        ("package_name", Some(&finding.package)),
        ("package_version", Some(&finding.version)),
        ("fixed_in_version", finding.fixed.as_ref()),
        ("CVSS3_VECTOR", finding.vector.as_ref()),
        ("CVSS3_SCORE", score.as_ref()),
    ];
    let attributes = told.into_iter().filter_map(|(key, value)| {
        let value: String = value?.chars().take(ATTRIBUTE_CHARS_MAX).collect();
        let value = Some(value).filter(|value| !value.is_empty());
        value.map(|value| shapes::Attribute { key: key.to_owned(), value: Some(value) })
    });
    shapes::ImageScanFinding {
        attributes: Some(attributes.collect()),
        description: Some(finding.description.clone()).filter(|text| !text.is_empty()),
        name: Some(finding.name.clone()),
        severity: Some(severity(&finding.severity)),
        uri: Some(finding.uri.clone()),
    }
}

fn severity(text: &str) -> FindingSeverity {
    match text {
        "INFORMATIONAL" => FindingSeverity::Informational,
        "LOW" => FindingSeverity::Low,
        "MEDIUM" => FindingSeverity::Medium,
        "HIGH" => FindingSeverity::High,
        "CRITICAL" => FindingSeverity::Critical,
        _ => FindingSeverity::Undefined,
    }
}

fn no_scan(key: &NameKey, digest: &str, tag: Option<&str>) -> Error {
    let tag = tag.unwrap_or("null");
    Error::Of(
        codes::SCAN_NOT_FOUND,
        format!(
            "Image scan does not exist for the image with '{{imageDigest:'{digest}', \
             imageTag:'{tag}'}}' in the repository with name '{}' in the registry with id '{}'",
            key.1, key.0.account,
        ),
    )
}

impl Inner {
    /// Has an image scanned.
    pub(super) async fn start_image_scan(
        &self,
        context: Context,
        input: shapes::StartImageScanRequest,
    ) -> Result<shapes::StartImageScanResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let id = input.image_id;
        let named = Named { digest: id.image_digest, tag: id.image_tag.clone() };
        let tables = &self.tables;
        let done = self.ledger.transact("start image scan", |tx| {
            tables.repository(tx, &key)?;
            let (digest, image) = tables.image(tx, &key, &named)?;
            if image.status == Status::Archived {
                let text =
                    format!("The image with digest '{digest}' is archived; restore it first");
                return Err(Error::Of(codes::IMAGE_ARCHIVED, text));
            }
            if !image.has_layers() {
                let kind = image.artifact_type.as_ref().unwrap_or(&image.media_type);
                let text = format!("An image of type '{kind}' is not supported for scanning");
                return Err(Error::Of(codes::UNSUPPORTED_IMAGE_TYPE, text));
            }
            let at = beside(&key, &digest);
            if !tables.may_scan(tx, &at) {
                let text = "The scan quota per image has been exceeded. Wait and try again.";
                return Err(Error::Limit(text.to_owned()));
            }
            let scan = Scan::asked(tx.now());
            tx.put(&tables.scans, at, scan.clone());
            Ok((digest, scan))
        });
        let (digest, scan) = done.await?.value;
        let image_digest = Some(digest);
        Ok(shapes::StartImageScanResponse {
            image_id: Some(shapes::ImageIdentifier { image_digest, image_tag: id.image_tag }),
            image_scan_status: Some(status_of(&scan)),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        })
    }

    /// What the last scan of an image found, the worst first.
    pub(super) async fn describe_image_scan_findings(
        &self,
        context: Context,
        input: shapes::DescribeImageScanFindingsRequest,
    ) -> Result<shapes::DescribeImageScanFindingsResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let snapshot = self.ledger.snapshot();
        self.tables.repository(&snapshot, &key)?;
        let id = input.image_id;
        let named = Named { digest: id.image_digest, tag: id.image_tag };
        let (digest, _) = self.tables.image(&snapshot, &key, &named)?;
        let at = beside(&key, &digest);
        let scan = snapshot.get(&self.tables.scans, &at);
        let scan = scan.ok_or_else(|| no_scan(&key, &digest, named.tag.as_deref()))?;
        let reading = self.readings.acquire().await;
        let findings = findings_of(self, &scan).await?;
        let numbered = findings.into_iter().enumerate();
        let name = |(number, _): &(usize, Finding)| format!("{number:08}");
        let token = input.next_token.as_deref();
        let (findings, next_token) = page(numbered, name, input.max_results, PAGE_ITEMS, token)?;
        drop(reading);
        let found = summary_of(&scan).map(|summary| shapes::ImageScanFindings {
            finding_severity_counts: summary.finding_severity_counts,
            findings: Some(findings.iter().map(|(_, finding)| show(finding)).collect()),
            image_scan_completed_at: summary.image_scan_completed_at,
            vulnerability_source_updated_at: summary.vulnerability_source_updated_at,
            ..Default::default()
        });
        Ok(shapes::DescribeImageScanFindingsResponse {
            image_id: Some(shapes::ImageIdentifier {
                image_digest: Some(digest),
                image_tag: named.tag,
            }),
            image_scan_findings: found,
            image_scan_status: Some(status_of(&scan)),
            next_token,
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        })
    }
}
