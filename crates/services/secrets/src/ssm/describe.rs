//! Listing parameters without their values.

use shapes_ssm as shapes;
use wire::Context;

use super::error::Error;
use super::{filter, show, version};
use crate::page::Page;
use crate::{Scope, Secrets};

/// The most parameters of a page, and how many there are if the request does not say.
const PAGE: usize = 50;

impl Secrets {
    /// Lists parameters in the order of their names.
    pub(super) async fn describe_parameters(
        &self,
        context: Context,
        input: shapes::DescribeParametersRequest,
    ) -> Result<shapes::DescribeParametersResult, Error> {
        let old = input.filters.as_deref().unwrap_or_default();
        let new = input.parameter_filters.as_deref().unwrap_or_default();
        if !old.is_empty() && !new.is_empty() {
            return Err(Error::invalid(
                "You can use either Filters or ParameterFilters in a single request.",
            ));
        }
        if input.shared == Some(true) {
            return Err(Error::NotBuilt { operation: "DescribeParameters", what: "Shared" });
        }
        let filters = match new.is_empty() {
            true => filter::read_old(old),
            false => filter::read(new, filter::OF_ALL)?,
        };
        let token = input.next_token.as_deref();
        let page = Page::open("DescribeParameters", input.max_results, PAGE, token);
        let page = page.map_err(|_| Error::NextToken)?;
        let (scope, snapshot) = (Scope::of(&context), self.ledger.snapshot());
        let rows = snapshot
            .prefix(&self.tables.parameters, &scope)
            .filter(|(_, row)| !row.is_over(context.now))
            .filter_map(|((_, name), row)| {
                let of = (&scope, name.as_str(), &*row);
                let found = version(&self.tables, &snapshot, of, None).ok()?;
                filter::fits(&filters, &name, &row, &found.1).then_some((name, found))
            });
        let (rows, next_token) = page.take(rows, |(name, _)| name.clone());
        let shown =
            rows.iter().map(|(name, (number, row))| show::metadata(&scope, name, (*number, row)));
        Ok(shapes::DescribeParametersResult { next_token, parameters: Some(shown.collect()) })
    }
}
