//! The static schemas of a service's shapes.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Result, bail};

use super::model::{Model, Shape, ShapeRef};
use super::names::constant;

/// `schemas.rs` of a service's crate.
///
/// # Errors
/// If a shape is of a kind that no codec knows yet.
pub fn emit(model: &Model, reached: &BTreeSet<String>) -> Result<String> {
    let mut out = String::from("use wire::{Kind, Length, Member, Pattern, Range, Schema};\n\n");
    for name in reached {
        let shape = model.shape(name)?;
        let kind = kind(name, shape)?;
        let value = match constraints(shape) {
            None => format!("Schema::new({name:?}, {kind})"),
            Some(constraints) => {
                format!("Schema {{ name: {name:?}, kind: {kind}, {constraints} }}")
            }
        };
        writeln!(out, "pub static {}: Schema = {value};", constant(name))?;
    }
    // A service may have no use for one of them.
    Ok(format!("#![allow(unused_imports)]\n\n{out}"))
}

fn kind(name: &str, shape: &Shape) -> Result<String> {
    Ok(match shape.kind.as_str() {
        "boolean" => "Kind::Boolean".to_owned(),
        "integer" => "Kind::Integer".to_owned(),
        "long" => "Kind::Long".to_owned(),
        "float" => "Kind::Float".to_owned(),
        "double" => "Kind::Double".to_owned(),
        "blob" => "Kind::Blob".to_owned(),
        "string" if shape.values.is_empty() => "Kind::String".to_owned(),
        "string" => format!("Kind::Enum(&{:?})", shape.values),
        "timestamp" if shape.timestamp_format.is_none() => "Kind::Timestamp(None)".to_owned(),
        "list" => format!("Kind::List(&{})", inner("member", shape.member.as_ref(), shape)),
        "map" => format!(
            "Kind::Map {{ key: &{}, value: &{} }}",
            inner("key", shape.key.as_ref(), shape),
            inner("value", shape.value.as_ref(), shape)
        ),
        "structure" => {
            let kind = if shape.union { "Union" } else { "Structure" };
            let members: Vec<_> = shape
                .members
                .iter()
                .map(|(name, target)| member(name, target, shape.required.contains(name)))
                .collect();
            format!("Kind::{kind}(&[{}])", members.join(", "))
        }
        other => bail!("shape {name} is a {other} of a form that the generator does not know"),
    })
}

/// What a list or map holds.
fn inner(name: &str, target: Option<&ShapeRef>, shape: &Shape) -> String {
    let Some(target) = target else { return format!("Member::new({name:?}, &wire::value::UNIT)") };
    let plain = member(name, target, false);
    if shape.flattened { format!("Member {{ flattened: true, ..{plain} }}") } else { plain }
}

fn member(name: &str, target: &ShapeRef, is_required: bool) -> String {
    let mut text = format!("Member::new({name:?}, &{})", constant(&target.shape));
    if is_required {
        text.push_str(".required()");
    }
    let mut special = String::new();
    if let Some(wire_name) = target.location_name.as_ref().filter(|wire_name| *wire_name != name) {
        special.push_str(&format!("wire_name: Some({wire_name:?}), "));
    }
    if let Some(query_name) = &target.query_name {
        special.push_str(&format!("query_name: Some({query_name:?}), "));
    }
    if target.flattened {
        special.push_str("flattened: true, ");
    }
    if special.is_empty() { text } else { format!("Member {{ {special}..{text} }}") }
}

/// The members of a schema that say what a value must be like; none for most shapes.
fn constraints(shape: &Shape) -> Option<String> {
    let is_number = matches!(shape.kind.as_str(), "integer" | "long" | "float" | "double");
    let is_bounded = shape.min.is_some() || shape.max.is_some();
    if !is_bounded && shape.pattern.is_none() && !shape.sensitive {
        return None;
    }
    let (mut length, mut range) = ("None".to_owned(), "None".to_owned());
    if is_bounded && is_number {
        range = format!("Some(Range {{ min: {:?}, max: {:?} }})", shape.min, shape.max);
    } else if is_bounded {
        let whole = |bound: Option<f64>| bound.map(|bound| bound as u64);
        let (min, max) = (whole(shape.min), whole(shape.max));
        length = format!("Some(Length {{ min: {min:?}, max: {max:?} }})");
    }
    let pattern = match &shape.pattern {
        Some(pattern) => format!("Some(Pattern::new({pattern:?}))"),
        None => "None".to_owned(),
    };
    let sensitive = shape.sensitive;
    Some(format!("length: {length}, range: {range}, pattern: {pattern}, sensitive: {sensitive}"))
}
