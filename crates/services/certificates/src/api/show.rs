//! Certificates as they are shown.

use shapes_acm as shapes;
use shapes_acm::{CertificateStatus, CertificateType, KeyAlgorithm, RenewalEligibility};
use terms::Timestamp;
use wire::value::Enumeration;

use crate::arn;
use crate::model::{Certificate, Request};
use crate::tables::CertificateKey;

/// Most names of a certificate in a listing (API reference, `CertificateSummary`).
const SUMMARY_NAMES_MAX: usize = 100;

/// Where a certificate is in its life.
pub(super) fn status(row: &Certificate, now: Timestamp) -> CertificateStatus {
    match row.is_over(now) {
        true => CertificateStatus::Expired,
        false => CertificateStatus::Issued,
    }
}

/// The kind of a certificate's key; `RSA_2048` and so on are all that rows hold.
pub(super) fn key_algorithm(row: &Certificate) -> Option<KeyAlgorithm> {
    KeyAlgorithm::parse(&row.facts.key_algorithm)
}

fn kind(row: &Certificate) -> CertificateType {
    match row.request {
        Some(_) => CertificateType::AmazonIssued,
        None => CertificateType::Imported,
    }
}

fn names(row: &Certificate) -> Vec<String> {
    match &row.request {
        Some(request) => request.names.clone(),
        None => row.facts.names.clone(),
    }
}

fn eligibility(row: &Certificate, is_used: bool) -> RenewalEligibility {
    match row.request.is_some() && is_used {
        true => RenewalEligibility::Eligible,
        false => RenewalEligibility::Ineligible,
    }
}

/// All about a certificate.
pub(super) fn detail(
    key: &CertificateKey,
    row: &Certificate,
    users: Vec<String>,
    now: Timestamp,
) -> shapes::CertificateDetail {
    let facts = &row.facts;
    let issued_at = row.request.as_ref().map(|_| row.renewed_at);
    let imported_at = row.request.is_none().then_some(row.renewed_at);
    let validations = row.request.as_ref().map(|request| validations(key, request));
    shapes::CertificateDetail {
        certificate_arn: Some(arn::of(key)),
        created_at: Some(row.made_at),
        domain_name: Some(row.domain().to_owned()),
        domain_validation_options: validations,
        imported_at,
        issued_at,
        in_use_by: Some(users.clone()),
        issuer: Some(facts.issuer.clone()),
        key_algorithm: key_algorithm(row),
        not_after: Some(facts.ends_at),
        not_before: Some(facts.begins_at),
        // Nothing is told to a public log, and no key is given out.
        options: Some(shapes::CertificateOptions {
            certificate_transparency_logging_preference: Some(
                shapes::CertificateTransparencyLoggingPreference::Disabled,
            ),
            export: Some(shapes::CertificateExport::Disabled),
        }),
        renewal_eligibility: Some(eligibility(row, !users.is_empty())),
        serial: Some(facts.serial.clone()),
        signature_algorithm: Some(facts.signature_algorithm.clone()),
        status: Some(status(row, now)),
        subject: Some(facts.subject.clone()),
        subject_alternative_names: Some(names(row)),
        type_: Some(kind(row)),
        ..Default::default()
    }
}

/// Each name as if it had been proved. Tools wait for the record that they are to publish, so there
/// is one; nobody looks whether it is published.
fn validations(key: &CertificateKey, request: &Request) -> Vec<shapes::DomainValidation> {
    let by_record = request.method == "DNS";
    let validation = |name: &String| {
        let domain = name.trim_start_matches("*.");
        let digits = key.1.replace('-', "");
        shapes::DomainValidation {
            domain_name: name.clone(),
            validation_domain: Some(domain.to_owned()),
            validation_method: shapes::ValidationMethod::parse(&request.method),
            validation_status: Some(shapes::DomainStatus::Success),
            resource_record: by_record.then(|| shapes::ResourceRecord {
                name: format!("_{digits}.{domain}."),
                type_: shapes::RecordType::Cname,
                value: format!("_{digits}.acm-validations.internal."),
            }),
            ..Default::default()
        }
    };
    request.names.iter().map(validation).collect()
}

/// A certificate in a listing.
pub(super) fn summary(
    key: &CertificateKey,
    row: &Certificate,
    is_used: bool,
    now: Timestamp,
) -> shapes::CertificateSummary {
    let mut names = names(row);
    let has_more = names.len() > SUMMARY_NAMES_MAX;
    names.truncate(SUMMARY_NAMES_MAX);
    shapes::CertificateSummary {
        certificate_arn: Some(arn::of(key)),
        created_at: Some(row.made_at),
        domain_name: Some(row.domain().to_owned()),
        has_additional_subject_alternative_names: Some(has_more),
        imported_at: row.request.is_none().then_some(row.renewed_at),
        in_use: Some(is_used),
        issued_at: row.request.as_ref().map(|_| row.renewed_at),
        key_algorithm: key_algorithm(row),
        not_after: Some(row.facts.ends_at),
        not_before: Some(row.facts.begins_at),
        renewal_eligibility: Some(eligibility(row, is_used)),
        status: Some(status(row, now)),
        subject_alternative_name_summaries: Some(names),
        type_: Some(kind(row)),
        ..Default::default()
    }
}
