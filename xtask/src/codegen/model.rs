//! The service models as published: operations and shapes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// A service's model.
#[derive(Deserialize)]
pub struct Model {
    /// What holds for the service as a whole.
    pub metadata: Metadata,
    /// By name.
    pub operations: BTreeMap<String, Operation>,
    /// By name.
    pub shapes: BTreeMap<String, Shape>,
}

/// What holds for a service as a whole.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The model's version.
    pub api_version: String,
    /// The first label of its host names.
    pub endpoint_prefix: String,
    /// The name of the protocol.
    pub protocol: String,
    /// The names of all its protocols.
    #[serde(default)]
    pub protocols: Vec<String>,
    /// `1.0` or `1.1` of JSON protocols.
    pub json_version: Option<String>,
    /// What stands before the dot in X-Amz-Target.
    pub target_prefix: Option<String>,
    /// The namespace of XML.
    pub xml_namespace: Option<String>,
    /// The name in credential scopes, if it is not the endpoint's prefix.
    pub signing_name: Option<String>,
    /// The name for people.
    pub service_abbreviation: Option<String>,
    /// The full name for people.
    pub service_full_name: String,
}

/// One operation.
#[derive(Deserialize)]
pub struct Operation {
    /// The request.
    pub input: Option<ShapeRef>,
    /// The response.
    pub output: Option<ShapeRef>,
    /// The declared errors.
    #[serde(default)]
    pub errors: Vec<ShapeRef>,
}

/// Where another shape is named.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShapeRef {
    /// The shape's name.
    pub shape: String,
    /// The name on the wire, if it is another.
    pub location_name: Option<String>,
    /// The name in EC2 Query, if it is another.
    pub query_name: Option<String>,
    /// A list or map without a wrapping element.
    #[serde(default)]
    pub flattened: bool,
}

/// One shape.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    /// `structure`, `list`, `string` …
    #[serde(rename = "type")]
    pub kind: String,
    /// Of a structure, by name.
    #[serde(default)]
    pub members: BTreeMap<String, ShapeRef>,
    /// Names of a structure's members that must be there.
    #[serde(default)]
    pub required: BTreeSet<String>,
    /// What a list holds.
    pub member: Option<ShapeRef>,
    /// A map's keys.
    pub key: Option<ShapeRef>,
    /// A map's values.
    pub value: Option<ShapeRef>,
    /// The values of an enumeration.
    #[serde(rename = "enum", default)]
    pub values: Vec<String>,
    /// The smallest length or number.
    pub min: Option<f64>,
    /// The largest length or number.
    pub max: Option<f64>,
    /// A regular expression.
    pub pattern: Option<String>,
    /// A secret.
    #[serde(default)]
    pub sensitive: bool,
    /// A list or map without a wrapping element.
    #[serde(default)]
    pub flattened: bool,
    /// Exactly one member.
    #[serde(default)]
    pub union: bool,
    /// A value of any form.
    #[serde(default)]
    pub document: bool,
    /// An error by its status and code.
    pub error: Option<ErrorTrait>,
    /// An error of the service itself.
    #[serde(default)]
    pub fault: bool,
    /// `iso8601` …
    pub timestamp_format: Option<String>,
}

/// How an error is answered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorTrait {
    /// The code, if it is not the shape's name.
    pub code: Option<String>,
    /// The status, if it is not 400 or 500.
    pub http_status_code: Option<u16>,
}

/// `models/operations.toml`: service, operation, `done` or `partial: what is missing`.
pub type Built = BTreeMap<String, BTreeMap<String, String>>;

impl Model {
    /// Reads `models/<service>.json`.
    ///
    /// # Errors
    /// If it is not there or no model.
    pub fn read(root: &Path, service: &str) -> Result<Self> {
        let path = root.join("models").join(format!("{service}.json"));
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    /// The shape of this name.
    ///
    /// # Errors
    /// If the model has none.
    pub fn shape(&self, name: &str) -> Result<&Shape> {
        self.shapes.get(name).with_context(|| format!("the model has no shape {name}"))
    }

    /// All shapes that these operations reach, errors not among them.
    ///
    /// # Errors
    /// If an operation or shape is not in the model.
    pub fn reached(&self, operations: &BTreeMap<String, String>) -> Result<BTreeSet<String>> {
        let mut reached = BTreeSet::new();
        let mut todo = Vec::new();
        for name in operations.keys() {
            let Some(operation) = self.operations.get(name) else {
                bail!("models/operations.toml lists {name}, which the model does not have");
            };
            todo.extend(operation.input.iter().chain(&operation.output).map(|r| r.shape.clone()));
        }
        while let Some(name) = todo.pop() {
            let shape = self.shape(&name)?;
            if reached.insert(name) {
                let inner = shape.member.iter().chain(&shape.key).chain(&shape.value);
                todo.extend(inner.chain(shape.members.values()).map(|r| r.shape.clone()));
            }
        }
        Ok(reached)
    }
}

/// Reads `models/operations.toml`.
///
/// # Errors
/// If it is not there or of another form.
pub fn read_built(root: &Path) -> Result<Built> {
    let path = root.join("models/operations.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}
