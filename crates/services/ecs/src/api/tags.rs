//! Tags of requests and responses (ECS semantics §2.2).

use std::collections::BTreeSet;

use shapes_ecs as shapes;

use crate::error::Error;
use crate::model::Tag;

/// Most tags of a resource.
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
        let key = tag.key.unwrap_or_default();
        if key.is_empty() {
            return Err(Error::invalid("Tag keys must not be empty."));
        }
        if key.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED)) {
            return Err(Error::invalid(format!(
                "Tag key '{key}' begins with 'aws:', which is reserved."
            )));
        }
        if !keys.insert(key.clone()) {
            return Err(Error::invalid(format!("Duplicate tag keys found: '{key}'.")));
        }
        Ok(Tag { key, value: tag.value.unwrap_or_default() })
    };
    tags.into_iter().map(read).collect()
}

/// Tags as shown.
pub(crate) fn show(tags: &[Tag]) -> Vec<shapes::Tag> {
    let show =
        |tag: &Tag| shapes::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    tags.iter().map(show).collect()
}
