//! Reading many values at once.

use serde_json::json;
use shapes_secretsmanager as shapes;
use wire::{Authenticator, Context};

use super::error::Error;
use super::filter::Filter;
use super::read::{Lookup, value};
use crate::page::Page;
use crate::{Scope, Secrets};

/// The most values of a page, and how many there are if the request does not say.
const PAGE: usize = 20;

impl Secrets {
    /// The current values of the secrets that are listed, or of those that filters fit.
    pub(super) async fn batch_get_secret_value(
        &self,
        context: Context,
        input: shapes::BatchGetSecretValueRequest,
    ) -> Result<shapes::BatchGetSecretValueResponse, Error> {
        let filters = input.filters.as_deref().filter(|filters| !filters.is_empty());
        let (scope, snapshot) = (Scope::of(&context), self.ledger.snapshot());
        let (ids, next_token) = match (&input.secret_id_list, filters) {
            (Some(_), Some(_)) => {
                return Err(Error::parameter(
                    "Either 'SecretIdList' or 'Filters' must be provided, but not both.",
                ));
            }
            (None, None) => {
                return Err(Error::parameter(
                    "Either 'SecretIdList' or 'Filters' must be provided.",
                ));
            }
            (Some(_), None) if input.max_results.is_some() => {
                return Err(Error::parameter(
                    "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.",
                ));
            }
            (Some(ids), None) => (ids.clone(), None),
            (None, Some(filters)) => {
                let filters = Filter::read(filters)?;
                let token = input.next_token.as_deref();
                let page = Page::open("BatchGetSecretValue", input.max_results, PAGE, token);
                let page = page.map_err(|_| Error::NextToken)?;
                let rows =
                    snapshot.prefix(&self.tables.secrets, &scope).filter(|((_, name), row)| {
                        row.deleted_at.is_none()
                            && filters.iter().all(|one| one.fits(&scope, name, row))
                    });
                page.take(rows.map(|((_, name), _)| name), String::clone)
            }
        };
        let (mut values, mut errors) = (Vec::new(), Vec::new());
        for id in ids {
            let lookup = Lookup { id: &id, version: None, stage: None };
            let scope = Scope::meant(&context, &id);
            let found = value(&self.tables, &snapshot, &scope, &lookup, context.now);
            let arn = found.as_ref().ok().and_then(|found| found.arn.as_deref());
            match self.may_read(&context, arn.unwrap_or(&id)).and(found) {
                Ok(found) => values.push(entry(found)),
                Err(error) => errors.push(shapes::APIErrorType {
                    error_code: Some(error.code().0.to_owned()),
                    message: Some(error.to_string()),
                    secret_id: Some(id),
                }),
            }
        }
        Ok(shapes::BatchGetSecretValueResponse {
            errors: Some(errors),
            next_token,
            secret_values: Some(values),
        })
    }

    /// Whether the caller may read one of many: the edge decides on a call as a whole, and what is
    /// refused here is one of the answer's errors (API reference, BatchGetSecretValue).
    fn may_read(&self, context: &Context, id: &str) -> Result<(), Error> {
        let Some(identities) = &self.identities else { return Ok(()) };
        let reading = Context { operation: "GetSecretValue", ..context.clone() };
        let decided = identities.authorize(&reading, &|| json!({ "SecretId": id }));
        decided.map(drop).map_err(|denied| Error::Denied(denied.message))
    }
}

fn entry(found: shapes::GetSecretValueResponse) -> shapes::SecretValueEntry {
    shapes::SecretValueEntry {
        arn: found.arn,
        created_date: found.created_date,
        name: found.name,
        secret_binary: found.secret_binary,
        secret_string: found.secret_string,
        version_id: found.version_id,
        version_stages: found.version_stages,
    }
}
