//! Tags of requests and responses (ECS semantics §2.2).

use std::collections::BTreeSet;

use shapes_ecs as shapes;

use crate::error::Error;
use crate::model::Tag;

/// Most tags of a resource; those that begin with `aws:` do not count.
const MAX_TAGS: usize = 50;
/// The prefix that is AWS's own, in any case.
const RESERVED: &str = "aws:";

/// Tags as given, checked. Lengths and characters were checked by the model.
pub(crate) fn read(tags: Option<Vec<shapes::Tag>>) -> Result<Vec<Tag>, Error> {
    let tags = tags.unwrap_or_default();
    if tags.len() > MAX_TAGS {
        return Err(Error::invalid("The maximum number of tags is 50."));
    }
    let mut keys = BTreeSet::new();
    let read = |tag: shapes::Tag| {
        let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        if key.is_empty() {
            return Err(Error::invalid("Tag keys must not be empty."));
        }
        check_prefix(&key)?;
        if is_reserved(&value) {
            return Err(Error::invalid(format!(
                "Tag value '{value}' begins with 'aws:', which is reserved."
            )));
        }
        if !keys.insert(key.clone()) {
            return Err(Error::invalid(format!("Duplicate tag keys found: '{key}'.")));
        }
        Ok(Tag { key, value })
    };
    tags.into_iter().map(read).collect()
}

/// Keys of tags that are to go.
pub(crate) fn read_keys(keys: Vec<String>) -> Result<BTreeSet<String>, Error> {
    keys.into_iter().map(|key| check_prefix(&key).map(|()| key)).collect()
}

/// A resource's tags with others added: a key that is there keeps its place and gets the new value.
///
/// # Errors
/// When the resource would have more than [`MAX_TAGS`].
pub(crate) fn merge(old: &[Tag], added: &[Tag]) -> Result<Vec<Tag>, Error> {
    let mut tags = old.to_vec();
    for tag in added {
        match tags.iter_mut().find(|known| known.key == tag.key) {
            Some(known) => known.value.clone_from(&tag.value),
            None => tags.push(tag.clone()),
        }
    }
    if tags.iter().filter(|tag| !is_reserved(&tag.key)).count() > MAX_TAGS {
        let text = "The maximum number of tags per resource is 50.";
        return Err(Error::LimitExceeded(text.to_owned()));
    }
    Ok(tags)
}

/// Tags as shown.
pub(crate) fn show(tags: &[Tag]) -> Vec<shapes::Tag> {
    let show =
        |tag: &Tag| shapes::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    tags.iter().map(show).collect()
}

fn check_prefix(key: &str) -> Result<(), Error> {
    if is_reserved(key) {
        return Err(Error::invalid(format!(
            "Tag key '{key}' begins with 'aws:', which is reserved."
        )));
    }
    Ok(())
}

fn is_reserved(text: &str) -> bool {
    text.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}
