//! Filters of listings (API reference, `ParameterStringFilter`).

use shapes_ssm as shapes;

use super::error::Error;
use super::model::{Parameter, ParameterVersion};
use super::name::is_below;

/// The keys that GetParametersByPath takes.
pub(super) const OF_PATHS: &[&str] = &["Type", "KeyId", "Label"];
/// The keys that DescribeParameters takes, besides `tag:…`.
pub(super) const OF_ALL: &[&str] =
    &["Path", "Name", "Type", "KeyId", "Tier", "DataType", "Label", "tag:"];

/// A filter whose key and option go together.
#[derive(Debug)]
pub(super) struct Filter {
    key: String,
    how: How,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Equals,
    BeginsWith,
    Contains,
    Recursive,
    OneLevel,
}

/// Reads filters; `keys` are those that the operation takes.
pub(super) fn read(
    filters: &[shapes::ParameterStringFilter],
    keys: &[&str],
) -> Result<Vec<Filter>, Error> {
    let mut read: Vec<Filter> = Vec::new();
    for filter in filters {
        let key = filter.key.as_str();
        let is_known = keys.contains(&key)
            || (keys.contains(&"tag:") && key.starts_with("tag:") && key.len() > 4);
        if !is_known {
            let shown: Vec<&str> = keys.iter().copied().filter(|key| *key != "tag:").collect();
            return Err(Error::FilterKey(format!(
                "The following filter key is not valid: {key}. Valid filter keys include: [{}].",
                shown.join(", ")
            )));
        }
        if read.iter().any(|other| other.key == key) {
            return Err(Error::FilterKey(format!(
                "The following filter is duplicated in the request: {key}. A request can contain \
                 only one occurrence of a specific filter."
            )));
        }
        let values = filter.values.clone().unwrap_or_default();
        // A tag alone is asked for by its key.
        if values.is_empty() && !key.starts_with("tag:") {
            return Err(Error::FilterValue(format!(
                "The following filter values are missing : null for filter key {key}"
            )));
        }
        if key == "Path" && values.iter().any(|value| !value.starts_with('/')) {
            return Err(Error::invalid(
                "The parameter doesn't meet the parameter name requirements. The parameter name \
                 must begin with a forward slash \"/\".",
            ));
        }
        let how = how(key, filter.option.as_deref())?;
        read.push(Filter { key: key.to_owned(), how, values });
    }
    Ok(read)
}

/// The old form: a name's beginning, exact types and keys.
pub(super) fn read_old(filters: &[shapes::ParametersFilter]) -> Vec<Filter> {
    let read = |filter: &shapes::ParametersFilter| {
        let how = match filter.key {
            shapes::ParametersFilterKey::Name => How::BeginsWith,
            shapes::ParametersFilterKey::Type | shapes::ParametersFilterKey::KeyId => How::Equals,
        };
        Filter { key: filter.key.as_str().to_owned(), how, values: filter.values.clone() }
    };
    filters.iter().map(read).collect()
}

fn how(key: &str, option: Option<&str>) -> Result<How, Error> {
    let valid: &[(&str, How)] = match key {
        "Path" => &[("OneLevel", How::OneLevel), ("Recursive", How::Recursive)],
        "Name" => {
            &[("Equals", How::Equals), ("BeginsWith", How::BeginsWith), ("Contains", How::Contains)]
        }
        "Type" | "KeyId" => &[("Equals", How::Equals), ("BeginsWith", How::BeginsWith)],
        _ => &[("Equals", How::Equals)],
    };
    let Some(option) = option else { return Ok(valid[0].1) };
    let found = valid.iter().find(|(name, _)| *name == option);
    found.map(|(_, how)| *how).ok_or_else(|| {
        let names: Vec<_> = valid.iter().map(|(name, _)| *name).collect();
        Error::FilterOption(format!(
            "The following filter option is not valid: {option}. Valid options include: [{}]",
            names.join(", ")
        ))
    })
}

/// The label that filters ask for and the parameter has.
pub(super) fn label_of(filters: &[Filter], parameter: &Parameter) -> Option<String> {
    let filter = filters.iter().find(|filter| filter.key == "Label")?;
    filter.values.iter().find(|label| parameter.labels.contains_key(*label)).cloned()
}

/// Whether a parameter is wanted by all filters.
pub(super) fn fits(
    filters: &[Filter],
    name: &str,
    parameter: &Parameter,
    version: &ParameterVersion,
) -> bool {
    filters.iter().all(|filter| {
        let one = |text: &str| filter.values.iter().any(|value| matches(filter.how, text, value));
        match filter.key.as_str() {
            "Name" => one(name),
            "Path" => {
                let anywhere = filter.how == How::Recursive;
                filter.values.iter().any(|path| is_below(name, path, anywhere))
            }
            "Type" => one(version.kind.shape().as_str()),
            "KeyId" => version.key_id.as_deref().is_some_and(one),
            "Tier" => one(version.tier.shape().as_str()),
            "DataType" => one("text"),
            "Label" => parameter.labels.keys().any(|label| one(label)),
            key => {
                let tag = key.strip_prefix("tag:").and_then(|tag| parameter.tags.get(tag));
                tag.is_some_and(|value| filter.values.is_empty() || one(value))
            }
        }
    })
}

fn matches(how: How, text: &str, value: &str) -> bool {
    match how {
        How::BeginsWith => text.starts_with(value),
        How::Contains => text.contains(value),
        How::Equals | How::Recursive | How::OneLevel => text == value,
    }
}
