//! A service's operations, errors and its model as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result, bail};

use super::model::{Model, ShapeRef};
use super::names::{constant, type_name};

/// `operations.rs` of a service's crate: the built operations.
///
/// # Errors
/// If an operation has no input or output shape.
pub fn operations(model: &Model, built: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::from(
        "use wire::{Operation, Schema, ServiceModel};\n\nuse crate::{schemas, structures};\n\n",
    );
    for name in built.keys() {
        let operation = model.operations.get(name).with_context(|| name.clone())?;
        let shape = |of: &Option<ShapeRef>| {
            of.as_ref().map(|of| of.shape.clone()).with_context(|| format!("{name} lacks a shape"))
        };
        let (input, output) = (shape(&operation.input)?, shape(&operation.output)?);
        let mut errors: Vec<String> = Vec::new();
        for error in &operation.errors {
            errors.push(code(model, &error.shape)?);
        }
        writeln!(
            out,
            "#[derive(Debug, Clone, Copy)]
            pub struct {name};

            impl Operation for {name} {{
                type Input = structures::{};
                type Output = structures::{};
                const NAME: &'static str = {name:?};
                const SERVICE: &'static ServiceModel = &crate::SERVICE;
                const INPUT: &'static Schema = &schemas::{};
                const OUTPUT: &'static Schema = &schemas::{};
                const ERRORS: &'static [&'static str] = &{errors:?};
            }}\n",
            type_name(&input),
            type_name(&output),
            constant(&input),
            constant(&output),
        )?;
    }
    Ok(out)
}

/// `errors.rs` of a service's crate: every error that an operation, built or not, declares.
///
/// # Errors
/// If an error is not in the model.
pub fn errors(model: &Model) -> Result<String> {
    let mut out = String::from("use wire::ErrorModel;\n\n");
    let names: BTreeSet<_> =
        model.operations.values().flat_map(|o| o.errors.iter().map(|e| &e.shape)).collect();
    for name in names {
        let shape = model.shape(name)?;
        let declared = shape.error.as_ref().and_then(|error| error.http_status_code);
        let status = declared.unwrap_or(if shape.fault { 500 } else { 400 });
        let constant = constant(name.strip_suffix("Exception").unwrap_or(name));
        let code = code(model, name)?;
        writeln!(
            out,
            "pub const {constant}: ErrorModel = ErrorModel {{ code: {code:?}, status: {status} }};"
        )?;
    }
    Ok(out)
}

/// What clients match on.
fn code(model: &Model, name: &str) -> Result<String> {
    let error = model.shape(name)?.error.as_ref();
    Ok(error.and_then(|error| error.code.clone()).unwrap_or_else(|| name.to_owned()))
}

/// `service.rs` of a service's crate.
///
/// # Errors
/// If its protocol has no codec yet.
pub fn service(name: &str, model: &Model) -> Result<String> {
    let metadata = &model.metadata;
    let protocol = match (metadata.protocol.as_str(), metadata.json_version.as_deref()) {
        ("json", Some("1.0")) => "AwsJson10",
        ("json", _) => "AwsJson11",
        ("query", _) => "AwsQuery",
        ("ec2", _) => "Ec2Query",
        (other, _) => bail!("{name} speaks {other}, for which there is no codec yet"),
    };
    // What a broken constraint is answered with differs by service; ECS says it so, and services
    // of the Query protocol say ValidationError. EC2's own words depend on what is broken: its
    // service sets `Service::explain`.
    let validation_code = match (name, protocol) {
        ("ecs", _) => "InvalidParameterException",
        (_, "AwsQuery") => "ValidationError",
        (_, "Ec2Query") => "InvalidParameterValue",
        _ => "ValidationException",
    };
    let operations: Vec<&String> = model.operations.keys().collect();
    Ok(format!(
        "use wire::{{Protocol, ServiceModel}};

        pub static SERVICE: ServiceModel = ServiceModel {{
            name: {:?},
            endpoint_prefix: {:?},
            api_version: {:?},
            target_prefix: {:?},
            xml_namespace: {:?},
            protocols: &[Protocol::{protocol}],
            validation_code: {validation_code:?},
            operations: &{operations:?},
        }};\n",
        metadata.signing_name.as_ref().unwrap_or(&metadata.endpoint_prefix),
        metadata.endpoint_prefix,
        metadata.api_version,
        metadata.target_prefix.as_deref().unwrap_or_default(),
        metadata.xml_namespace.as_deref().unwrap_or_default(),
    ))
}
