//! YAML as a tree that remembers lines.
//!
//! Aliases share what they name, so that a small file cannot become a large tree; merge keys
//! (`<<`) are merged. Texts are kept as they stand in the file: `1.10` stays `1.10`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use anyhow::{Result, bail};
use saphyr_parser::{Event, Parser, ScalarStyle};

/// How deeply lists and mappings may be nested.
const MAX_DEPTH: usize = 64;

/// One value.
#[derive(Debug)]
pub struct Node {
    /// The line that it begins on, counted from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// Any other scalar.
    Text(String),
    /// A sequence.
    List(Vec<Rc<Node>>),
    /// A mapping, in the order of the file; no key comes twice.
    Map(Vec<(String, Rc<Node>)>),
}

impl Node {
    /// The entries of a mapping; none of anything else.
    pub fn entries(&self) -> &[(String, Rc<Self>)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Null | Kind::Text(_) | Kind::List(_) => &[],
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Rc<Self>> {
        self.entries().iter().find(|(has, _)| has == key).map(|(_, node)| node)
    }
}

/// Reads a file of one document.
///
/// # Errors
/// If the text is no YAML: the error names the line.
pub fn load(text: &str) -> Result<Rc<Node>> {
    let mut loader = Loader::default();
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => loader.take(event, span.start.line())?,
            Err(wrong) => bail!("line {}: {}", wrong.marker().line(), wrong.info()),
        }
    }
    Ok(loader.root.unwrap_or_else(|| Rc::new(Node { line: 1, kind: Kind::Null })))
}

/// A list or mapping whose end was not seen yet.
struct Open {
    line: usize,
    anchor: usize,
    /// A `!reset` of Compose's: whatever is inside counts for nothing.
    reset: bool,
    inside: Inside,
}

enum Inside {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<(String, Rc<Node>)>, key: Option<String>, merged: Vec<Rc<Node>> },
}

#[derive(Default)]
struct Loader {
    root: Option<Rc<Node>>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Node>>,
}

impl Loader {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<()> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                bail!("line {line}: there is a second document; only one can be imported")
            }
            Event::Scalar(text, style, anchor, tag) => {
                let reset = tag.is_some_and(|tag| tag.suffix == "reset");
                let plain = style == ScalarStyle::Plain;
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let kind = if null || reset { Kind::Null } else { Kind::Text(text.into_owned()) };
                self.add(Node { line, kind }, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => self.put(Rc::clone(node), line),
                None => bail!("line {line}: an alias names something that is not complete yet"),
            },
            Event::SequenceStart(anchor, tag) => {
                let reset = tag.is_some_and(|tag| tag.suffix == "reset");
                self.begin(Open { line, anchor, reset, inside: Inside::List(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                let reset = tag.is_some_and(|tag| tag.suffix == "reset");
                let inside = Inside::Map { entries: Vec::new(), key: None, merged: Vec::new() };
                self.begin(Open { line, anchor, reset, inside })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, open: Open) -> Result<()> {
        if self.open.len() == MAX_DEPTH {
            bail!("line {}: nested more than {MAX_DEPTH} deep", open.line);
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let Some(Open { line, anchor, reset, inside }) = self.open.pop() else { return Ok(()) };
        let kind = match inside {
            _ if reset => Kind::Null,
            Inside::List(items) => Kind::List(items),
            Inside::Map { entries, merged, .. } => Kind::Map(merge(entries, &merged)),
        };
        self.add(Node { line, kind }, anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<()> {
        let (line, node) = (node.line, Rc::new(node));
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.put(node, line)
    }

    fn put(&mut self, node: Rc<Node>, line: usize) -> Result<()> {
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.root = Some(node),
            Some(Inside::List(items)) => items.push(node),
            Some(Inside::Map { entries, key, merged }) => match key.take() {
                None => match &node.kind {
                    Kind::Text(text) => *key = Some(text.clone()),
                    _ => bail!("line {line}: a key must be a text"),
                },
                Some(key) if key == "<<" => match &node.kind {
                    Kind::Map(_) => merged.push(node),
                    Kind::List(nodes) => merged.extend(nodes.iter().cloned()),
                    _ => bail!("line {line}: '<<' takes a mapping or a list of mappings"),
                },
                Some(key) if entries.iter().any(|(has, _)| *has == key) => {
                    bail!("line {line}: the key '{key}' comes twice")
                }
                Some(key) => entries.push((key, node)),
            },
        }
        Ok(())
    }
}

/// A mapping with what it lacks of others, the first of them first.
fn merge(mut entries: Vec<(String, Rc<Node>)>, merged: &[Rc<Node>]) -> Vec<(String, Rc<Node>)> {
    let mut keys: BTreeSet<String> = entries.iter().map(|(key, _)| key.clone()).collect();
    for (key, node) in merged.iter().flat_map(|node| node.entries()) {
        if keys.insert(key.clone()) {
            entries.push((key.clone(), Rc::clone(node)));
        }
    }
    entries
}

/// A service over the one that it extends: mappings are merged, lists appended, but for commands.
pub fn extend(node: &Rc<Node>, base: &Rc<Node>) -> Rc<Node> {
    let kind = match (&node.kind, &base.kind) {
        (Kind::Map(own), Kind::Map(inherited)) => {
            let mut entries = own.clone();
            for (key, node) in inherited {
                match entries.iter_mut().find(|(has, _)| has == key) {
                    None => entries.push((key.clone(), Rc::clone(node))),
                    Some(_) if matches!(&**key, "command" | "entrypoint" | "test") => {}
                    Some((_, own)) => *own = extend(own, node),
                }
            }
            Kind::Map(entries)
        }
        (Kind::List(own), Kind::List(inherited)) => {
            Kind::List(inherited.iter().chain(own).cloned().collect())
        }
        _ => return Rc::clone(node),
    };
    Rc::new(Node { line: node.line, kind })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.kind {
            Kind::Null => "null".into(),
            Kind::Text(text) => format!("{text:?}"),
            Kind::List(items) => {
                format!("[{}]", items.iter().map(|item| shown(item)).collect::<Vec<_>>().join(" "))
            }
            Kind::Map(entries) => {
                let entries = entries.iter().map(|(key, node)| format!("{key}={}", shown(node)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn files_become_trees() {
        let check = |text: &str, expected: &str| {
            assert_eq!(shown(&load(text).unwrap()), expected, "{text}");
        };
        check("", "null");
        check("a: 1.10\nb: ~\nc: 'null'\nd: yes", r#"{a="1.10" b=null c="null" d="yes"}"#);
        check("- a\n- {b: [c]}", r#"["a" {b=["c"]}]"#);
        check("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3", r#"{x={a="1" b="2"} y={b="3" a="1"}}"#);
        check(
            "x: &x {a: 1}\ny: &y {b: 2}\nz: {<<: [*x, *y]}",
            r#"{x={a="1"} y={b="2"} z={a="1" b="2"}}"#,
        );
        check("a: !reset [1]\nb: !override [2]", r#"{a=null b=["2"]}"#);
        check(r#"{"services": {"a": null}}"#, "{services={a=null}}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let check = |text: &str, expected: &str| {
            let error = load(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        };
        check("a: 1\na: 2", "line 2: the key 'a' comes twice");
        check("a: [1", "line 2");
        check("a:\n\tb: 1", "line 2");
        check("a: 1\n---\nb: 2", "line 2: there is a second document");
        check("? [a]\n: b", "line 1: a key must be a text");
        check("a: *b", "line 1");
        check("a: &a [*a]", "line 1: an alias names something that is not complete");
        check(&"[".repeat(100), "line 1: nested more than 64 deep");
    }

    #[test]
    fn aliases_of_aliases_stay_small() {
        let mut text = String::from("a0: &a0 [x, x]\n");
        for level in 1..60 {
            let below = level - 1;
            text += &format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n");
        }
        assert_eq!(load(&text).unwrap().entries().len(), 60);
    }
}
