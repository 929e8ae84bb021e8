//! Paths into events: `$.detail.name`, `$.resources[0]`, `$['detail-type']`.

use serde_json::Value;

/// A text that is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is no JSON path")]
pub struct PathError;

/// A path to a part of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// If it does not begin with `$`, or goes on in another way than by keys and numbers.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut rest = text.strip_prefix('$').ok_or(PathError)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 {
                    return Err(PathError);
                }
                steps.push(Step::Key(after[..end].to_owned()));
                rest = &after[end..];
            } else {
                let after = rest.strip_prefix('[').ok_or(PathError)?;
                let (inside, after) = after.split_once(']').ok_or(PathError)?;
                let quoted = ['\'', '"'].into_iter().find_map(|quote| {
                    inside.strip_prefix(quote)?.strip_suffix(quote).map(str::to_owned)
                });
                steps.push(match quoted {
                    Some(key) => Step::Key(key),
                    None => Step::Index(inside.parse().map_err(|_| PathError)?),
                });
                rest = after;
            }
        }
        Ok(Self(steps))
    }

    /// The part of a value, if it has it.
    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }
}
