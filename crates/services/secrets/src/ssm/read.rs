//! Reading parameters: by name, by path, and their history.

use ledger::Snapshot;
use shapes_ssm as shapes;
use terms::Timestamp;
use wire::Context;

use super::error::Error;
use super::name::{Reference, Selector, is_below};
use super::{filter, find, reference, resolve, show, version};
use crate::page::Page;
use crate::{Scope, Secrets};

/// The most parameters of a page of a path, and how many there are if the request does not say.
const PAGE_PATH: usize = 10;
/// The same of a history.
const PAGE_HISTORY: usize = 50;

impl Secrets {
    /// One parameter.
    pub(super) async fn get_parameter(
        &self,
        context: Context,
        input: shapes::GetParameterRequest,
    ) -> Result<shapes::GetParameterResult, Error> {
        let (scope, now) = (Scope::of(&context), context.now);
        let found = self.one(&scope, &input.name, input.with_decryption, now)?;
        Ok(shapes::GetParameterResult { parameter: Some(found) })
    }

    /// Up to ten; those that are not there are told apart.
    pub(super) async fn get_parameters(
        &self,
        context: Context,
        input: shapes::GetParametersRequest,
    ) -> Result<shapes::GetParametersResult, Error> {
        let (scope, now) = (Scope::of(&context), context.now);
        let (mut parameters, mut invalid) = (Vec::new(), Vec::new());
        for name in &input.names {
            match self.one(&scope, name, input.with_decryption, now) {
                Ok(found) => parameters.push(found),
                Err(Error::NotFound | Error::NoVersion { .. }) => invalid.push(name.clone()),
                Err(error) => return Err(error),
            }
        }
        parameters.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(shapes::GetParametersResult {
            invalid_parameters: Some(invalid),
            parameters: Some(parameters),
        })
    }

    fn one(
        &self,
        scope: &Scope,
        text: &str,
        with_decryption: Option<bool>,
        now: Timestamp,
    ) -> Result<shapes::Parameter, Error> {
        let wanted = Reference::parse(scope, text)?;
        if let Some(secret) = wanted.secret() {
            return reference::read(self, scope, (secret, &wanted), with_decryption, now);
        }
        let snapshot = self.ledger.snapshot();
        let (name, _, number, row) = resolve(&self.tables, &snapshot, scope, &wanted, now)?;
        let selector = wanted.selector_text;
        Ok(show::parameter(scope, &name, (number, &row), selector, with_decryption))
    }

    /// Those below a path.
    pub(super) async fn get_parameters_by_path(
        &self,
        context: Context,
        input: shapes::GetParametersByPathRequest,
    ) -> Result<shapes::GetParametersByPathResult, Error> {
        let path = input.path.as_str();
        if !path.starts_with('/') {
            return Err(Error::invalid(
                "The parameter doesn't meet the parameter name requirements. The parameter name \
                 must begin with a forward slash \"/\". It can't be prefixed with \"aws\" or \
                 \"ssm\" (case-insensitive). It must use only letters, numbers, or the following \
                 symbols: . (period), - (hyphen), _ (underscore). Special characters are not \
                 allowed. All sub-paths, if specified, must use the forward slash symbol \"/\". \
                 Valid example: /get/parameters2-/by1./path0_.",
            ));
        }
        let filters = input.parameter_filters.as_deref().unwrap_or_default();
        let filters = filter::read(filters, filter::OF_PATHS)?;
        let (scope, now) = (Scope::of(&context), context.now);
        let anywhere = input.recursive.unwrap_or(false);
        let token = input.next_token.as_deref();
        let page = Page::open("GetParametersByPath", input.max_results, PAGE_PATH, token);
        let page = page.map_err(|_| Error::NextToken)?;
        let snapshot = self.ledger.snapshot();
        let below = snapshot
            .prefix(&self.tables.parameters, &scope)
            .filter(|((_, name), row)| is_below(name, path, anywhere) && !row.is_over(now))
            .filter_map(|((_, name), row)| {
                // A label asked for chooses the version that has it.
                let label = filter::label_of(&filters, &row).map(Selector::Label);
                let of = (&scope, name.as_str(), &*row);
                let found = version(&self.tables, &snapshot, of, label.as_ref()).ok()?;
                filter::fits(&filters, &name, &row, &found.1).then_some((name, found))
            });
        let (rows, next_token) = page.take(below, |(name, _)| name.clone());
        let parameters = rows.iter().map(|(name, (number, row))| {
            show::parameter(&scope, name, (*number, row), None, input.with_decryption)
        });
        Ok(shapes::GetParametersByPathResult { next_token, parameters: Some(parameters.collect()) })
    }

    /// All versions of a parameter, the oldest first.
    pub(super) async fn get_parameter_history(
        &self,
        context: Context,
        input: shapes::GetParameterHistoryRequest,
    ) -> Result<shapes::GetParameterHistoryResult, Error> {
        let (scope, now) = (Scope::of(&context), context.now);
        let wanted = Reference::parse(&scope, &input.name)?;
        let snapshot: Snapshot = self.ledger.snapshot();
        let (name, parameter) = find(&self.tables, &snapshot, &scope, &wanted.names, now)?;
        let token = input.next_token.as_deref();
        let page = Page::open("GetParameterHistory", input.max_results, PAGE_HISTORY, token);
        let page = page.map_err(|_| Error::NextToken)?;
        let rows = snapshot.prefix(&self.tables.parameter_versions, &(scope, name.clone()));
        let rows = rows.map(|((_, _, number), row)| (number, row));
        let (rows, next_token) = page.take(rows, |(number, _)| format!("{number:020}"));
        let versions = rows.iter().map(|(number, row)| {
            let labels = parameter.labels_of(*number);
            show::history(&name, (*number, row), labels, input.with_decryption)
        });
        Ok(shapes::GetParameterHistoryResult { next_token, parameters: Some(versions.collect()) })
    }
}
