//! An event as patterns see it: paths of keys joined by dots, with the values at each.

use std::collections::HashMap;

use serde_json::Value;

use super::number::Number;

/// One value of an event.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Text(String),
    Number(Number),
    Boolean(bool),
    Null,
}

/// A value and the array elements that it stands in.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) value: Token,
    /// Array and element.
    pub(super) elements: Vec<(u32, u32)>,
}

/// An event, flattened. Arrays are transparent: their elements are values of the array's path,
/// and objects in them give their fields.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    by_path: HashMap<String, Vec<Field>>,
    arrays: u32,
}

impl Fields {
    /// The fields of an event.
    pub fn of(event: &Value) -> Self {
        let mut fields = Self::default();
        fields.add(&mut String::new(), event, &mut Vec::new());
        fields
    }

    pub(super) fn at(&self, path: &str) -> &[Field] {
        self.by_path.get(path).map_or(&[], Vec::as_slice)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }

    fn add(&mut self, path: &mut String, value: &Value, elements: &mut Vec<(u32, u32)>) {
        let token = match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    let length = path.len();
                    if length > 0 {
                        path.push('.');
                    }
                    path.push_str(key);
                    self.add(path, value, elements);
                    path.truncate(length);
                }
                return;
            }
            Value::Array(items) => {
                let array = self.arrays;
                self.arrays += 1;
                for (element, value) in (0..).zip(items) {
                    elements.push((array, element));
                    self.add(path, value, elements);
                    elements.pop();
                }
                return;
            }
            Value::String(text) => Token::Text(text.clone()),
            Value::Number(number) => Token::Number(Number::of_json(number)),
            Value::Bool(value) => Token::Boolean(*value),
            Value::Null => Token::Null,
        };
        let field = Field { value: token, elements: elements.clone() };
        self.by_path.entry(path.clone()).or_default().push(field);
    }
}
