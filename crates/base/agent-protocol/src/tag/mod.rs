//! Tags of log drivers: Docker's templates, `{{.Name}}/{{.ID}}` and what else Go's `text/template`
//! has that a tag can use.
//!
//! The control plane parses one when a definition is registered, the agent fills it in when a
//! container is made: what one takes the other can do.
//!
//! There are text, comments, trimming (`{{-`, `-}}`), fields, variables, pipelines, parentheses,
//! `if`, `with` and `range` with `else`, Docker's functions (`json`, `split`, `join`, `title`,
//! `lower`, `upper`, `pad`, `truncate`) and Go's (`and`, `or`, `not`, `eq` to `ge`, `index`, `len`,
//! `slice`, `print`, `printf`, `println`). What is not there (templates in templates, `call`,
//! escaping for web pages, `break` and `continue`) is refused by name.

mod fill;
mod functions;
mod lex;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

/// The longest template in bytes.
const MAX_BYTES: usize = 4 * 1024;

/// A template that can be filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    nodes: Vec<Node>,
}

/// What a template may say of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container<'a> {
    /// Its id: 64 digits.
    pub id: &'a str,
    /// Its name, without a slash before it.
    pub name: &'a str,
    /// The image as it was named.
    pub image: &'a str,
    /// The image's configuration, by digest.
    pub image_id: &'a str,
    /// The command with its arguments.
    pub command: &'a str,
    /// Labels.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// Environment: `NAME=value`.
    pub environment: &'a [String],
}

/// The fields of a container that templates know, by Docker's names.
const FIELDS: [&str; 14] = [
    "ID",
    "FullID",
    "Name",
    "ImageID",
    "ImageFullID",
    "ImageName",
    "DaemonName",
    "Command",
    "ContainerID",
    "ContainerName",
    "ContainerImageID",
    "ContainerImageName",
    "ContainerLabels",
    "ContainerEnv",
];

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    /// Its value is written, unless it only declares a variable.
    Action(Pipeline),
    If(Pipeline, Vec<Self>, Vec<Self>),
    With(Pipeline, Vec<Self>, Vec<Self>),
    Range(Pipeline, Vec<Self>, Vec<Self>),
}

/// Commands, each of which takes what the one before it gives.
#[derive(Clone, Debug, PartialEq)]
struct Pipeline {
    /// Variables that take its value: of `range` two, the place and the element.
    declares: Vec<String>,
    commands: Vec<Vec<Operand>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Literal(Value),
    /// `.` and what is behind it.
    Dot(Vec<String>),
    /// A variable and what is behind it; `$` is the container.
    Variable(String, Vec<String>),
    Function(&'static str),
    Group(Pipeline, Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Nil,
    Truth(bool),
    Number(i64),
    Text(String),
    List(Vec<Self>),
    Map(BTreeMap<String, String>),
    /// All that is known of the container.
    Container,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// If Docker could not read it, it asks for what there is not, or it is longer than 4 KiB:
    /// what is wrong, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("it is longer than {MAX_BYTES} bytes"));
        }
        Ok(Self { nodes: parse::template(lex::pieces(text)?)? })
    }

    /// Fills it in.
    ///
    /// # Errors
    /// If a value is not of the kind that something needs, as `index` a list.
    pub fn fill(&self, container: &Container<'_>) -> Result<String, String> {
        fill::fill(&self.nodes, container)
    }
}
