//! Forms: `application/x-www-form-urlencoded` bodies and query strings.

use percent_encoding::percent_decode;

use crate::value::Malformed;

/// A form with more fields is refused: EC2's largest requests have a few thousand.
pub(crate) const MAX_FIELDS: usize = 20_000;

/// A form's fields, decoded and sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// The fields of a form: `a=1&b=x+y`.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Vec::new();
        for field in text.split(|&byte| byte == b'&').filter(|field| !field.is_empty()) {
            if fields.len() == MAX_FIELDS {
                let message = format!("The form has more than {MAX_FIELDS} fields.");
                return Err(Malformed { message });
            }
            let split = field.iter().position(|&byte| byte == b'=').unwrap_or(field.len());
            let (name, value) = (&field[..split], field.get(split + 1..).unwrap_or_default());
            let name = decode(name, "a field's name")?;
            let value = decode(value, &name)?;
            fields.push((name, value));
        }
        fields.sort_by(|(left, _), (right, _)| left.cmp(right));
        Ok(Self { fields })
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        let index = self.fields.partition_point(|(field, _)| field.as_str() < name);
        self.fields.get(index).filter(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The fields whose names begin with `prefix`.
    pub(crate) fn under(&self, prefix: &str) -> &[(String, String)] {
        let start = self.fields.partition_point(|(field, _)| field.as_str() < prefix);
        let rest = &self.fields[start..];
        &rest[..rest.partition_point(|(field, _)| field.starts_with(prefix))]
    }
}

fn decode(text: &[u8], name: &str) -> Result<String, Malformed> {
    let spaced: Vec<u8> = text.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    String::from_utf8(percent_decode(&spaced).collect()).map_err(|_| Malformed {
        message: format!("The form has bytes in '{name}' that are not valid UTF-8."),
    })
}
