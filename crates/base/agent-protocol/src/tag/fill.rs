//! Filling a template in.

use std::collections::BTreeMap;

use super::{Container, Node, Operand, Pipeline, Value, functions};

/// The longest tag in bytes.
const MAX_BYTES: usize = 64 * 1024;

struct Filler<'a> {
    container: &'a Container<'a>,
    /// Variables that can be seen, the innermost last.
    variables: Vec<(String, Value)>,
    filled: String,
}

/// What a template says of a container.
pub(super) fn fill(nodes: &[Node], container: &Container<'_>) -> Result<String, String> {
    let variables = vec![(String::new(), Value::Container)];
    let mut filler = Filler { container, variables, filled: String::new() };
    filler.nodes(nodes, &Value::Container)?;
    Ok(filler.filled)
}

impl Value {
    /// Whether `if` goes on with it.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Truth(truth) => *truth,
            Self::Number(number) => *number != 0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Container => true,
        }
    }

    /// As Go writes it.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Nil => "<no value>".to_owned(),
            Self::Truth(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::List(list) => {
                let all: Vec<String> = list.iter().map(Self::written).collect();
                format!("[{}]", all.join(" "))
            }
            Self::Map(map) => {
                let all: Vec<String> = map.iter().map(|(n, v)| format!("{n}:{v}")).collect();
                format!("map[{}]", all.join(" "))
            }
            Self::Container => "<container>".to_owned(),
        }
    }
}

impl Filler<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), String> {
        for node in nodes {
            let known = self.variables.len();
            match node {
                Node::Text(text) => self.filled.push_str(text),
                Node::Action(of) => {
                    let value = self.pipeline(of, dot)?;
                    match of.declares.first() {
                        Some(name) => self.set(name, value),
                        None => self.filled.push_str(&value.written()),
                    }
                    // What it declares is seen until its block ends.
                    continue;
                }
                Node::If(of, then, other) => {
                    let value = self.declared(of, dot)?;
                    self.nodes(if value.is_true() { then } else { other }, dot)?;
                }
                Node::With(of, then, other) => {
                    let value = self.declared(of, dot)?;
                    match value.is_true() {
                        true => self.nodes(then, &value)?,
                        false => self.nodes(other, dot)?,
                    }
                }
                Node::Range(of, then, other) => self.range(of, (then, other), dot)?,
            }
            self.variables.truncate(known);
            if self.filled.len() > MAX_BYTES {
                return Err(format!("the tag is longer than {MAX_BYTES} bytes"));
            }
        }
        Ok(())
    }

    fn declared(&mut self, of: &Pipeline, dot: &Value) -> Result<Value, String> {
        let value = self.pipeline(of, dot)?;
        if let Some(name) = of.declares.first() {
            self.variables.push((name.clone(), value.clone()));
        }
        Ok(value)
    }

    fn range(
        &mut self,
        of: &Pipeline,
        (then, other): (&[Node], &[Node]),
        dot: &Value,
    ) -> Result<(), String> {
        let text = |text: String| Value::Text(text);
        let elements: Vec<(Value, Value)> = match self.pipeline(of, dot)? {
            Value::List(list) => {
                let places = (0..).map(Value::Number);
                places.zip(list).collect()
            }
            Value::Map(map) => map.into_iter().map(|(n, v)| (text(n), text(v))).collect(),
            Value::Nil => Vec::new(),
            _ => return Err("'range' goes over lists and maps alone".to_owned()),
        };
        if elements.is_empty() {
            return self.nodes(other, dot);
        }
        for (place, element) in elements {
            let known = self.variables.len();
            match of.declares.as_slice() {
                [one] => self.variables.push((one.clone(), element.clone())),
                [one, two] => {
                    self.variables.push((one.clone(), place));
                    self.variables.push((two.clone(), element.clone()));
                }
                _ => {}
            }
            self.nodes(then, &element)?;
            self.variables.truncate(known);
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value) {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipeline(&mut self, of: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut last = None;
        for command in &of.commands {
            let mut given = Vec::new();
            // A function is called with what follows it.
            let is_call = matches!(command.first(), Some(Operand::Function(_)));
            for operand in command.iter().skip(usize::from(is_call)) {
                given.push(self.operand(operand, dot)?);
            }
            given.extend(last.take());
            last = Some(match command.first() {
                Some(Operand::Function(name)) => functions::call(name, &given)?,
                _ => given.pop().unwrap_or(Value::Nil),
            });
        }
        Ok(last.unwrap_or(Value::Nil))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        let (value, fields) = match operand {
            Operand::Literal(value) => return Ok(value.clone()),
            Operand::Function(name) => return functions::call(name, &[]),
            Operand::Dot(fields) => (dot.clone(), fields),
            Operand::Variable(name, fields) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                (known.map_or(Value::Nil, |(_, value)| value.clone()), fields)
            }
            Operand::Group(of, fields) => (self.pipeline(of, dot)?, fields),
        };
        fields.iter().try_fold(value, |value, field| self.field(&value, field))
    }

    fn field(&self, value: &Value, field: &str) -> Result<Value, String> {
        match value {
            Value::Container => Ok(self.of_container(field)),
            Value::Map(map) => Ok(map.get(field).cloned().map_or(Value::Nil, Value::Text)),
            _ => Err(format!("what '.{field}' is asked of has no fields")),
        }
    }

    fn of_container(&self, field: &str) -> Value {
        let one = self.container;
        // Of an id the first twelve digits, of a digest too.
        let short = |full: &str| {
            let bare = full.strip_prefix("sha256:").unwrap_or(full);
            bare.get(..12).unwrap_or(bare).to_owned()
        };
        let text = match field {
            "ID" => short(one.id),
            "FullID" | "ContainerID" => one.id.to_owned(),
            "Name" => one.name.to_owned(),
            "ContainerName" => format!("/{}", one.name),
            "ImageID" => short(one.image_id),
            "ImageFullID" | "ContainerImageID" => one.image_id.to_owned(),
            "ImageName" | "ContainerImageName" => one.image.to_owned(),
            "DaemonName" => "docker".to_owned(),
            "Command" => one.command.to_owned(),
            "ContainerLabels" => {
                let none = BTreeMap::new();
                return Value::Map(one.labels.unwrap_or(&none).clone());
            }
            "ContainerEnv" => {
                return Value::List(one.environment.iter().cloned().map(Value::Text).collect());
            }
            // Parsing has refused the others.
            _ => return Value::Nil,
        };
        Value::Text(text)
    }
}
