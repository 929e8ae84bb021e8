//! Values from AWS Query's forms: `Tags.member.1.Key=…`, flattened `Tag.1.Key=…`, maps as
//! `Attributes.entry.1.key=…`, an empty list as `Tags=`. In EC2's forms every list is flat and
//! names begin with a capital: `Filter.1.Value.2=…`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use terms::Timestamp;

use super::Form;
use super::json_reader::MAX_DEPTH;
use super::time::{parse_iso8601, parse_rfc822};
use crate::check::Check;
use crate::schema::{Kind, Member, Schema};
use crate::value::{Malformed, OnEntry, OnItem, OnMember, Read, Reader};

/// Reads values from a form.
#[derive(Debug)]
pub struct QueryReader<'a> {
    form: &'a Form,
    check: &'a mut Check,
    /// The name of the field or group of fields that the reader stands before.
    prefix: String,
    /// The list or map here has no wrapping element.
    flattened: bool,
    depth: usize,
    /// The form is one of EC2's.
    is_ec2: bool,
}

impl<'a> QueryReader<'a> {
    /// A reader before the structure that the whole form is.
    pub fn new(form: &'a Form, check: &'a mut Check) -> Self {
        Self { form, check, prefix: String::new(), flattened: false, depth: 0, is_ec2: false }
    }

    /// A reader of a form of EC2's.
    pub fn ec2(form: &'a Form, check: &'a mut Check) -> Self {
        Self { is_ec2: true, ..Self::new(form, check) }
    }

    /// A member's name in the form. EC2 takes `queryName`, else `locationName` with a capital
    /// (Smithy's `aws.protocols#ec2Query`).
    fn name(&self, member: &Member) -> Cow<'static, str> {
        if !self.is_ec2 {
            return member.wire().into();
        }
        if let Some(name) = member.query_name {
            return name.into();
        }
        let wire = member.wire();
        match wire.bytes().next() {
            Some(first) if first.is_ascii_lowercase() => {
                format!("{}{}", char::from(first.to_ascii_uppercase()), &wire[1..]).into()
            }
            _ => wire.into(),
        }
    }

    /// Reads with `read` what stands under `name`, below the present prefix.
    fn within(
        &mut self,
        name: &str,
        flattened: bool,
        read: &mut dyn FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if self.depth == MAX_DEPTH {
            let message = format!("The form is nested more than {MAX_DEPTH} levels deep.");
            return Err(Malformed { message });
        }
        let (length, outer) = (self.prefix.len(), self.flattened);
        if !self.prefix.is_empty() {
            self.prefix.push('.');
        }
        self.prefix.push_str(name);
        self.flattened = flattened;
        self.depth += 1;
        read(self)?;
        self.depth -= 1;
        self.prefix.truncate(length);
        self.flattened = outer;
        Ok(())
    }

    /// Whether any field stands here or below.
    fn exists(&mut self) -> bool {
        if self.prefix.is_empty() || self.form.get(&self.prefix).is_some() {
            return true;
        }
        self.prefix.push('.');
        let found = !self.form.under(&self.prefix).is_empty();
        self.prefix.pop();
        found
    }

    /// The numbers of the entries here, in order: `<prefix>.<number>…`.
    fn numbers(&self) -> BTreeSet<u32> {
        let prefix = format!("{}.", self.prefix);
        let numbers = self.form.under(&prefix).iter().filter_map(|(name, _)| {
            let rest = &name[prefix.len()..];
            rest.split('.').next()?.parse().ok()
        });
        numbers.collect()
    }

    fn scalar<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Read<T> {
        let Some(text) = self.form.get(&self.prefix) else { return Ok(None) };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => {
                let path = self.check.path();
                Err(Malformed {
                    message: format!(
                        "STRING_VALUE cannot be converted to {name} (member '{path}')"
                    ),
                })
            }
        }
    }
}

impl Reader for QueryReader<'_> {
    fn check(&mut self) -> &mut Check {
        self.check
    }

    fn boolean(&mut self) -> Read<bool> {
        self.scalar("Boolean", |text| match text {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        })
    }

    fn integer(&mut self, min: i64, max: i64, name: &'static str) -> Read<i64> {
        self.scalar(name, |text| text.parse().ok().filter(|value| (min..=max).contains(value)))
    }

    fn double(&mut self) -> Read<f64> {
        self.scalar("Double", |text| text.parse().ok())
    }

    fn string(&mut self) -> Read<String> {
        Ok(self.form.get(&self.prefix).map(str::to_owned))
    }

    fn blob(&mut self) -> Read<Vec<u8>> {
        self.scalar("Blob", |text| STANDARD.decode(text).ok())
    }

    fn timestamp(&mut self, _: &'static Schema) -> Read<Timestamp> {
        self.scalar("Timestamp", |text| {
            let seconds = || text.parse().ok().map(Timestamp::from_seconds_f64);
            parse_iso8601(text).or_else(|| parse_rfc822(text)).or_else(seconds)
        })
    }

    fn structure(
        &mut self,
        schema: &'static Schema,
        each: OnMember<'_>,
    ) -> Result<bool, Malformed> {
        if !self.exists() {
            return Ok(false);
        }
        for (index, member) in schema.members().iter().enumerate() {
            self.within(&self.name(member), member.flattened, &mut |reader| {
                if reader.exists() { each(reader, index) } else { Ok(()) }
            })?;
        }
        Ok(true)
    }

    fn list(&mut self, item: &'static Member, each: OnItem<'_>) -> Result<bool, Malformed> {
        if !self.exists() {
            return Ok(false);
        }
        let mut read = |reader: &mut Self| {
            for number in reader.numbers() {
                reader.within(&number.to_string(), false, &mut |reader| each(reader))?;
            }
            Ok(())
        };
        if self.flattened || self.is_ec2 {
            read(self)?;
        } else {
            self.within(item.wire_name.unwrap_or("member"), false, &mut read)?;
        }
        Ok(true)
    }

    fn map(&mut self, schema: &'static Schema, each: OnEntry<'_>) -> Result<bool, Malformed> {
        let Kind::Map { key, value } = &schema.kind else { return Ok(false) };
        if !self.exists() {
            return Ok(false);
        }
        let mut read = |reader: &mut Self| {
            for number in reader.numbers() {
                reader.within(&number.to_string(), false, &mut |reader| {
                    let mut name = None;
                    reader.within(key.wire_name.unwrap_or("key"), false, &mut |reader| {
                        name = reader.form.get(&reader.prefix).map(str::to_owned);
                        Ok(())
                    })?;
                    let Some(name) = name else { return Ok(()) };
                    reader.within(
                        value.wire_name.unwrap_or("value"),
                        value.flattened,
                        &mut |reader| each(reader, name.clone()),
                    )
                })?;
            }
            Ok(())
        };
        if self.flattened {
            read(self)?;
        } else {
            self.within("entry", false, &mut read)?;
        }
        Ok(true)
    }
}
