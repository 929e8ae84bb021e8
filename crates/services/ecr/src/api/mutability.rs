//! Whether tags may move.

use shapes::ImageTagMutability as Wish;
use shapes_ecr as shapes;
use wire::Context;

use super::key;
use crate::Inner;
use crate::error::Error;
use crate::model::{Mutability, Repository};

/// The longest pattern.
const PATTERN_BYTES_MAX: usize = 128;

type Filters = Option<Vec<shapes::ImageTagMutabilityExclusionFilter>>;

/// Reads a setting with its filters, which are there exactly when it has exclusions.
pub(super) fn read(wish: Option<Wish>, filters: &Filters) -> Result<Mutability, Error> {
    let field = "imageTagMutabilityExclusionFilters";
    let given = filters.as_deref().unwrap_or_default();
    let is_pattern = |text: &str| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._*-".contains(&b);
        (1..=PATTERN_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
    };
    if let Some(wrong) = given.iter().find(|filter| !is_pattern(&filter.filter)) {
        let why = format!(
            "'{}' must satisfy regular expression '[0-9a-zA-Z._*-]{{1,128}}'",
            wrong.filter
        );
        return Err(Error::parameter(field, why));
    }
    let patterns: Vec<String> = given.iter().map(|filter| filter.filter.clone()).collect();
    let wish = wish.unwrap_or_default();
    match (wish, patterns.is_empty()) {
        (Wish::Mutable, true) => Ok(Mutability::Mutable),
        (Wish::Immutable, true) => Ok(Mutability::Immutable),
        (Wish::ImmutableWithExclusion, false) => Ok(Mutability::ImmutableExcept(patterns)),
        (Wish::MutableWithExclusion, false) => Ok(Mutability::MutableExcept(patterns)),
        (wish, true) => {
            Err(Error::parameter(field, format!("must be given with {}", wish.as_str())))
        }
        (wish, false) => {
            Err(Error::parameter(field, format!("cannot be given with {}", wish.as_str())))
        }
    }
}

/// As answers have it.
pub(super) fn show(mutability: &Mutability) -> (Wish, Filters) {
    let kind = match mutability {
        Mutability::Mutable => Wish::Mutable,
        Mutability::Immutable => Wish::Immutable,
        Mutability::ImmutableExcept(_) => Wish::ImmutableWithExclusion,
        Mutability::MutableExcept(_) => Wish::MutableWithExclusion,
    };
    let filter = |text: &String| shapes::ImageTagMutabilityExclusionFilter {
        filter: text.clone(),
        filter_type: shapes::ImageTagMutabilityExclusionFilterType::Wildcard,
    };
    let filters: Vec<_> = mutability.patterns().iter().map(filter).collect();
    (kind, Some(filters).filter(|filters| !filters.is_empty()))
}

impl Inner {
    /// Sets whether tags may move from now on.
    pub(super) async fn put_image_tag_mutability(
        &self,
        context: Context,
        input: shapes::PutImageTagMutabilityRequest,
    ) -> Result<shapes::PutImageTagMutabilityResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let mutability =
            read(Some(input.image_tag_mutability), &input.image_tag_mutability_exclusion_filters)?;
        let (shown, filters) = show(&mutability);
        let done = self.ledger.transact("put image tag mutability", |tx| {
            let row = self.tables.repository(tx, &key)?;
            let mutability = mutability.clone();
            let row = Repository { mutability, ..Repository::clone(&row) };
            tx.put(&self.tables.repositories, key.clone(), row);
            Ok::<_, Error>(())
        });
        done.await?;
        Ok(shapes::PutImageTagMutabilityResponse {
            image_tag_mutability: Some(shown),
            image_tag_mutability_exclusion_filters: filters,
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        })
    }
}
