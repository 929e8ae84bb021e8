//! The Rust types of a service's shapes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result, bail};

use super::model::{Model, Shape};
use super::names::{constant, field, type_name, variant};

/// `structures.rs` of a service's crate.
///
/// # Errors
/// If a shape is not in the model or of a kind that has no type yet.
pub fn structures(model: &Model, reached: &BTreeSet<String>) -> Result<String> {
    let mut out = String::from(
        "use wire::value::{read_optional, read_required, read_structure, write_optional, \
         write_required, write_structure, Read, Reader, Structure, Value, Writer};\n\
         use wire::{Malformed, Schema};\n\nuse crate::enumerations::*;\nuse crate::schemas;\n\n",
    );
    for name in reached {
        let shape = model.shape(name)?;
        if shape.kind == "structure" && !shape.document {
            structure(&mut out, model, name, shape)?;
        }
    }
    // A service may have no use for one of them.
    Ok(format!("#![allow(unused_imports)]\n\n{out}"))
}

fn structure(out: &mut String, model: &Model, name: &str, shape: &Shape) -> Result<()> {
    let rust = type_name(name);
    let (mut fields, mut reads, mut writes) = (String::new(), String::new(), String::new());
    let is_sensitive = |target: &super::model::ShapeRef| Ok(model.shape(&target.shape)?.sensitive);
    let sensitive = shape.members.values().map(is_sensitive).collect::<Result<Vec<bool>>>()?;
    for (index, (member, target)) in shape.members.iter().enumerate() {
        let (field, type_text) = (field(member), rust_type(model, &target.shape)?);
        let (type_text, form) = match shape.required.contains(member) {
            true => (type_text, "required"),
            false => (format!("Option<{type_text}>"), "optional"),
        };
        writeln!(fields, "pub {field}: {type_text},")?;
        writeln!(reads, "{index} => read_{form}(&mut self.{field}, reader, member),")?;
        writeln!(writes, "write_{form}(&self.{field}, {index}, writer, members);")?;
    }
    let schema = constant(name);
    let debug = if sensitive.contains(&true) { "" } else { "Debug, " };
    writeln!(
        out,
        "#[derive({debug}Clone, Default, PartialEq)]\npub struct {rust} {{ {fields} }}\n"
    )?;
    if sensitive.contains(&true) {
        let members = shape.members.keys().zip(&sensitive);
        redacted(out, &rust, members.map(|(member, secret)| (field(member), *secret)))?;
    }
    if shape.members.is_empty() {
        writeln!(
            out,
            "impl Structure for {rust} {{
                const SCHEMA: &'static Schema = &schemas::{schema};
                fn read_member(&mut self, _: usize, _: &mut dyn Reader) -> Result<bool, Malformed> {{
                    Ok(false)
                }}
                fn write_members(&self, _: &mut dyn Writer) {{}}
            }}\n"
        )?;
    } else {
        writeln!(
            out,
            "impl Structure for {rust} {{
                const SCHEMA: &'static Schema = &schemas::{schema};
                fn read_member(&mut self, index: usize, reader: &mut dyn Reader) -> Result<bool, Malformed> {{
                    let member = &Self::SCHEMA.members()[index];
                    match index {{ {reads} _ => Ok(false) }}
                }}
                fn write_members(&self, writer: &mut dyn Writer) {{
                    let members = Self::SCHEMA.members();
                    {writes}
                }}
            }}\n"
        )?;
    }
    writeln!(
        out,
        "impl Value for {rust} {{
            fn read(reader: &mut dyn Reader, _: &'static Schema) -> Read<Self> {{
                read_structure(reader)
            }}
            fn write(&self, writer: &mut dyn Writer, _: &'static Schema) {{
                write_structure(self, writer);
            }}
        }}\n"
    )?;
    Ok(())
}

/// `Debug` of a structure that holds a secret: all but that.
fn redacted(
    out: &mut String,
    rust: &str,
    members: impl Iterator<Item = (String, bool)>,
) -> Result<()> {
    let mut shown = String::new();
    for (field, _) in members.filter(|(_, is_secret)| !is_secret) {
        let name = field.trim_start_matches("r#").trim_end_matches('_');
        writeln!(shown, ".field({name:?}, &self.{field})")?;
    }
    writeln!(
        out,
        "impl std::fmt::Debug for {rust} {{
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
                f.debug_struct({rust:?}){shown}.finish_non_exhaustive()
            }}
        }}\n"
    )?;
    Ok(())
}

/// The type of a value of this shape.
fn rust_type(model: &Model, name: &str) -> Result<String> {
    let shape = model.shape(name)?;
    let of = |inner: &Option<super::model::ShapeRef>| {
        let inner = inner.as_ref().with_context(|| format!("shape {name} holds nothing"))?;
        rust_type(model, &inner.shape)
    };
    Ok(match shape.kind.as_str() {
        "boolean" => "bool".to_owned(),
        "integer" => "i32".to_owned(),
        "long" => "i64".to_owned(),
        "float" | "double" => "f64".to_owned(),
        "blob" => "wire::Blob".to_owned(),
        "timestamp" => "terms::Timestamp".to_owned(),
        "string" if shape.values.is_empty() => "String".to_owned(),
        "structure" if shape.document => "wire::Any".to_owned(),
        "string" | "structure" => type_name(name),
        "list" => format!("Vec<{}>", of(&shape.member)?),
        "map" => format!("std::collections::BTreeMap<String, {}>", of(&shape.value)?),
        other => bail!("shape {name} is a {other}, which has no type"),
    })
}

/// `enumerations.rs` of a service's crate.
///
/// # Errors
/// If a shape is not in the model.
pub fn enumerations(model: &Model, reached: &BTreeSet<String>) -> Result<String> {
    let mut out = String::from(
        "use wire::value::{read_enumeration, Enumeration, Read, Reader, Value, Writer};\n\
         use wire::Schema;\n\n",
    );
    for name in reached {
        let shape = model.shape(name)?;
        if shape.kind == "string" && !shape.values.is_empty() {
            enumeration(&mut out, name, shape)?;
        }
    }
    // A service may have no enumeration.
    Ok(format!("#![allow(unused_imports)]\n\n{out}"))
}

fn enumeration(out: &mut String, name: &str, shape: &Shape) -> Result<()> {
    let rust = type_name(name);
    let mut variants: BTreeMap<String, &str> = BTreeMap::new();
    for value in &shape.values {
        if let Some(other) = variants.insert(variant(value), value) {
            bail!("values {other} and {value} of {name} have one name in Rust");
        }
    }
    let (mut list, mut parses, mut texts) = (String::new(), String::new(), String::new());
    for (index, value) in shape.values.iter().enumerate() {
        let variant = variant(value);
        let default = if index == 0 { "#[default] " } else { "" };
        write!(list, "{default}{variant}, ")?;
        write!(parses, "{value:?} => Self::{variant}, ")?;
        write!(texts, "Self::{variant} => {value:?}, ")?;
    }
    writeln!(
        out,
        "#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum {rust} {{ {list} }}

        impl Enumeration for {rust} {{
            fn parse(text: &str) -> Option<Self> {{
                Some(match text {{ {parses} _ => return None }})
            }}
            fn as_str(self) -> &'static str {{
                match self {{ {texts} }}
            }}
        }}

        impl {rust} {{
            pub fn as_str(self) -> &'static str {{ Enumeration::as_str(self) }}
        }}

        impl Value for {rust} {{
            fn read(reader: &mut dyn Reader, schema: &'static Schema) -> Read<Self> {{
                read_enumeration(reader, schema)
            }}
            fn write(&self, writer: &mut dyn Writer, schema: &'static Schema) {{
                writer.string(self.as_str(), schema);
            }}
        }}\n"
    )?;
    Ok(())
}
