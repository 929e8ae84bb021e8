//! A service's operations, errors and its model as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result, bail};

use super::model::{Metadata, Model, ShapeRef};
use super::names::{constant, type_name};

/// `operations.rs` of a service's crate: the built operations.
///
/// # Errors
/// If an operation or an error is not in the model.
pub fn operations(model: &Model, built: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::from(
        "use wire::{Operation, Schema, ServiceModel};\n\nuse crate::{schemas, structures};\n\n",
    );
    for name in built.keys() {
        let operation = model.operations.get(name).with_context(|| name.clone())?;
        // Some operations take nothing, or answer with nothing.
        let shape = |of: &Option<ShapeRef>| match of {
            Some(of) => (
                format!("structures::{}", type_name(&of.shape)),
                format!("schemas::{}", constant(&of.shape)),
            ),
            None => ("wire::Unit".to_owned(), "wire::value::UNIT".to_owned()),
        };
        let (input, output) = (shape(&operation.input), shape(&operation.output));
        let mut errors: Vec<String> = Vec::new();
        for error in &operation.errors {
            errors.push(code(model, &error.shape)?);
        }
        writeln!(
            out,
            "#[derive(Debug, Clone, Copy)]
            pub struct {name};

            impl Operation for {name} {{
                type Input = {};
                type Output = {};
                const NAME: &'static str = {name:?};
                const SERVICE: &'static ServiceModel = &crate::SERVICE;
                const INPUT: &'static Schema = &{};
                const OUTPUT: &'static Schema = &{};
                const ERRORS: &'static [&'static str] = &{errors:?};
            }}\n",
            input.0, output.0, input.1, output.1,
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
    for name in &names {
        let name = *name;
        let shape = model.shape(name)?;
        let declared = shape.error.as_ref().and_then(|error| error.http_status_code);
        let status = declared.unwrap_or(if shape.fault { 500 } else { 400 });
        let short = name.strip_suffix("Exception").unwrap_or(name);
        // A model may have both `X` and `XException`.
        let is_taken = short != name && names.iter().any(|other| *other == short);
        let constant = constant(if is_taken { name } else { short });
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
    let all = protocols(name, metadata)?;
    let protocol = all[0];
    // What a broken constraint is answered with differs by service; ECS says it so, and services
    // of the Query protocol say ValidationError. EC2's own words depend on what is broken: its
    // service sets `Service::explain`.
    let validation_code = match (name, protocol) {
        ("ecs" | "logs", _) => "InvalidParameterException",
        ("cloudwatch", _) | (_, "AwsQuery") => "ValidationError",
        (_, "Ec2Query") => "InvalidParameterValue",
        _ => "ValidationException",
    };
    let operations: Vec<&String> = model.operations.keys().collect();
    let protocols: Vec<_> = all.iter().map(|name| format!("Protocol::{name}")).collect();
    let (protocols, renamed) = (protocols.join(", "), renamed_errors(model, &all)?);
    Ok(format!(
        "use wire::{{Protocol, ServiceModel}};

        pub static SERVICE: ServiceModel = ServiceModel {{
            name: {:?},
            endpoint_prefix: {:?},
            api_version: {:?},
            target_prefix: {:?},
            xml_namespace: {:?},
            protocols: &[{protocols}],
            validation_code: {validation_code:?},
            operations: &{operations:?},
            renamed_errors: &{renamed:?},
        }};\n",
        metadata.signing_name.as_ref().unwrap_or(&metadata.endpoint_prefix),
        metadata.endpoint_prefix,
        metadata.api_version,
        metadata.target_prefix.as_deref().unwrap_or_default(),
        metadata.xml_namespace.as_deref().unwrap_or_default(),
    ))
}

/// The protocols of a service, the one that most clients choose first.
fn protocols(name: &str, metadata: &Metadata) -> Result<Vec<&'static str>> {
    let codec = |protocol: &str| match (protocol, metadata.json_version.as_deref()) {
        ("json", Some("1.0")) => Ok("AwsJson10"),
        ("json", _) => Ok("AwsJson11"),
        ("smithy-rpc-v2-cbor", _) => Ok("RpcV2Cbor"),
        ("query", _) => Ok("AwsQuery"),
        ("ec2", _) => Ok("Ec2Query"),
        (other, _) => bail!("{name} speaks {other}, for which there is no codec yet"),
    };
    let mut all = vec![codec(&metadata.protocol)?];
    for protocol in &metadata.protocols {
        let protocol = codec(protocol)?;
        if !all.contains(&protocol) {
            all.push(protocol);
        }
    }
    // The older SDKs of Python know CBOR too, and prefer JSON (botocore).
    all.sort_by_key(|protocol| !protocol.starts_with("AwsJson"));
    Ok(all)
}

/// Errors whose code in the Query protocol is not their shape's name, where a service speaks
/// Query beside others: code and name.
fn renamed_errors(model: &Model, protocols: &[&str]) -> Result<Vec<(String, String)>> {
    if protocols.len() < 2 || !protocols.contains(&"AwsQuery") {
        return Ok(Vec::new());
    }
    let errors = model.operations.values().flat_map(|operation| &operation.errors);
    let names: BTreeSet<_> = errors.map(|error| &error.shape).collect();
    let mut renamed = Vec::new();
    for name in &names {
        let name: &String = name;
        let code = code(model, name)?;
        // Several shapes may have one code; the shape of that name is meant then.
        if code != *name && !names.contains(&&code) {
            renamed.push((code, name.clone()));
        }
    }
    Ok(renamed)
}
