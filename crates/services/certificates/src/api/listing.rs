//! Lists of certificates.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shapes_acm as shapes;
use wire::Context;

use super::{scope, show};
use crate::error::Error;
use crate::{Inner, arn};

/// Most certificates of a page, and how many there are if the request does not say (API reference,
/// `ListCertificates`).
const PAGE_ITEMS: usize = 1000;

impl Inner {
    /// Lists certificates in the order of their ids, or of when they were made.
    pub(super) async fn list_certificates(
        &self,
        context: Context,
        input: shapes::ListCertificatesRequest,
    ) -> Result<shapes::ListCertificatesResponse, Error> {
        let filters = input.includes.unwrap_or_default();
        if filters.key_usage.is_some_and(|all| !all.is_empty())
            || filters.extended_key_usage.is_some_and(|all| !all.is_empty())
            || filters.export_option.is_some()
            || filters.managed_by.is_some()
        {
            return Err(Error::not_built("ListCertificates", "Includes but for keyTypes"));
        }
        let key_types = filters.key_types.unwrap_or_default();
        let statuses = input.certificate_statuses.unwrap_or_default();
        let (snapshot, scope) = (self.ledger.snapshot(), scope(&context));
        let mut rows: Vec<_> = snapshot
            .prefix(&self.tables.certificates, &scope)
            .filter(|(_, row)| {
                let is_of = |wanted: &shapes::KeyAlgorithm| {
                    show::key_algorithm(row).as_ref() == Some(wanted)
                };
                let status = show::status(row, context.now);
                (key_types.is_empty() || key_types.iter().any(is_of))
                    && (statuses.is_empty() || statuses.contains(&status))
            })
            .collect();
        if input.sort_by.is_some() {
            rows.sort_by_key(|(_, row)| row.made_at);
            if input.sort_order == Some(shapes::SortOrder::Descending) {
                rows.reverse();
            }
        }
        let after = input.next_token.filter(|token| !token.is_empty());
        let after = after.map(|token| read(&token).ok_or(Error::NextToken)).transpose()?;
        let place = after.and_then(|after| rows.iter().position(|(key, _)| key.1 == after));
        let begin = place.map_or(0, |place| place + 1);
        let size = input.max_items.and_then(|size| usize::try_from(size).ok());
        let end = rows.len().min(begin + size.unwrap_or(PAGE_ITEMS));
        let next_token = (end < rows.len()).then(|| URL_SAFE_NO_PAD.encode(&rows[end - 1].0.1));
        let show = |(key, row): &(_, ledger::Row<_>)| {
            let is_used = !self.users.seen(&snapshot, &arn::of(key)).is_empty();
            show::summary(key, row, is_used, context.now)
        };
        let shown = rows[begin..end].iter().map(show).collect();
        Ok(shapes::ListCertificatesResponse { certificate_summary_list: Some(shown), next_token })
    }
}

fn read(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}
