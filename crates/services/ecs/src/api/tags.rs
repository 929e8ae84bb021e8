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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::check::Check;
    use wire::protocol::JsonReader;
    use wire::value::{Structure, Value};

    use super::*;

    /// Letters, separators, digits and what else tags may hold.
    const GOOD: &[char] = &[
        'a', 'w', 's', 'Z', 'ü', 'я', '中', '𝒜', '1', '٣', '²', 'Ⅷ', ' ', '\u{a0}', '\u{2028}',
        '_', '.', ':', '/', '=', '+', '-', '@',
    ];
    /// What they may not hold: controls, symbols, punctuation, marks.
    const BAD: &[char] = &['\t', '\n', '\0', ';', '$', '!', '#', '(', '"', '\\', '😀', '\u{301}'];

    fn text(longest: usize) -> impl Strategy<Value = String> {
        let good = prop::sample::select(GOOD);
        let any = prop_oneof![60 => good.clone(), 1 => prop::sample::select(BAD)];
        prop_oneof![
            4 => prop::collection::vec(any, 0..4),
            1 => prop::collection::vec(good.clone(), longest - 1..=longest + 1),
            1 => prop::collection::vec(good, 1..9).prop_map(|end| {
                "AwS:".chars().chain(end).collect()
            }),
        ]
        .prop_map(String::from_iter)
    }

    /// What §2.2 says, word for word.
    fn allowed(tags: &[(String, String)]) -> bool {
        let held = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
            lengths.contains(&text.chars().count())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || GOOD.contains(&c))
                && !text.to_lowercase().starts_with("aws:")
        };
        let keys: BTreeSet<_> = tags.iter().map(|(key, _)| key).collect();
        tags.len() <= 50
            && keys.len() == tags.len()
            && tags.iter().all(|(key, value)| held(key, 1..=128) && held(value, 0..=256))
    }

    /// Reads a request as the edge does, then as this file does.
    fn accepts(tags: &[(String, String)]) -> bool {
        let tags: Vec<_> = tags
            .iter()
            .map(|(key, value)| serde_json::json!({"key": key, "value": value}))
            .collect();
        let body = serde_json::json!({"resourceArn": "x", "tags": tags}).to_string();
        let (mut check, mut request) = (Check::strict(), None);
        let read = JsonReader::read_document(body.as_bytes(), &mut check, &mut |reader| {
            request = shapes::TagResourceRequest::read(reader, shapes::TagResourceRequest::SCHEMA)?;
            Ok(())
        });
        assert!(read.is_ok(), "{body} is JSON");
        let request: Option<shapes::TagResourceRequest> = request;
        check.violations().is_empty() && request.is_some_and(|r| self::read(Some(r.tags)).is_ok())
    }

    proptest! {
        #[test]
        fn tags_are_what_the_rules_allow(
            tags in prop::collection::vec((text(128), text(256)), 0..4),
            many in prop::option::weighted(0.1, 45_usize..=55),
        ) {
            let more = (0..many.unwrap_or(0)).map(|n| (format!("n{n}"), String::new()));
            let tags: Vec<_> = tags.into_iter().chain(more).collect();
            prop_assert_eq!(accepts(&tags), allowed(&tags), "{:?}", tags);
        }

        #[test]
        fn merging_keeps_one_value_a_key(
            old in prop::collection::btree_map("[a-e]", "[0-9]", 0..5),
            added in prop::collection::btree_map("[a-h]", "[0-9]", 0..8),
        ) {
            let list = |map: &std::collections::BTreeMap<String, String>| -> Vec<Tag> {
                map.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
            };
            let merged = merge(&list(&old), &list(&added)).unwrap_or_default();
            let mut expected = old;
            expected.extend(added);
            let got = merged.iter().map(|tag| (tag.key.clone(), tag.value.clone()));
            prop_assert_eq!(got.clone().count(), expected.len());
            prop_assert_eq!(got.collect::<std::collections::BTreeMap<_, _>>(), expected);
        }
    }

    #[test]
    fn tags_of_ecs_itself_do_not_count() {
        let tag = |key: String| Tag { key, value: String::new() };
        let many = |count: usize| (0..count).map(|n| tag(format!("t{n}"))).collect::<Vec<_>>();
        let own = [tag("aws:ecs:clusterName".to_owned())];
        assert!(merge(&own, &many(50)).is_ok());
        assert!(merge(&own, &many(51)).is_err());
        assert!(merge(&many(50), &many(50)).is_ok());
        assert!(merge(&many(50), &[tag("more".to_owned())]).is_err());
    }
}
