//! An input as a tree of JSON values, made without its text: what decisions look into.
//!
//! Blobs are left out: no decision looks at their bytes, which may be many.

use serde_json::{Map, Value};
use terms::Timestamp;

use crate::schema::{Kind, Member, Schema, TimestampFormat};
use crate::value::Writer;

/// What is not finished yet.
enum Open {
    /// A structure or map, with the name of the member that comes next.
    Object(Map<String, Value>, String),
    List(Vec<Value>),
}

/// Builds the tree.
#[derive(Default)]
pub(crate) struct Tree {
    open: Vec<Open>,
    root: Value,
}

impl Tree {
    /// The whole input.
    pub(crate) fn finish(self) -> Value {
        self.root
    }

    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            Some(Open::Object(members, name)) => {
                members.insert(std::mem::take(name), value);
            }
            Some(Open::List(items)) => items.push(value),
            None => self.root = value,
        }
    }

    fn name(&mut self, next: &str) {
        if let Some(Open::Object(_, name)) = self.open.last_mut() {
            next.clone_into(name);
        }
    }

    fn begin(&mut self) {
        self.open.push(Open::Object(Map::new(), String::new()));
    }

    fn end(&mut self) {
        match self.open.pop() {
            Some(Open::Object(members, _)) => self.put(Value::Object(members)),
            Some(Open::List(items)) => self.put(Value::Array(items)),
            None => {}
        }
    }
}

impl Writer for Tree {
    fn boolean(&mut self, value: bool) {
        self.put(value.into());
    }
    fn integer(&mut self, value: i64, _: &'static Schema) {
        self.put(value.into());
    }
    fn double(&mut self, value: f64, _: &'static Schema) {
        self.put(value.into());
    }
    fn string(&mut self, value: &str, _: &'static Schema) {
        self.put(value.into());
    }
    fn blob(&mut self, _: &[u8], _: &'static Schema) {
        self.put(Value::Null);
    }
    fn timestamp(&mut self, value: Timestamp, schema: &'static Schema) {
        let in_words = matches!(
            schema.kind,
            Kind::Timestamp(Some(TimestampFormat::Iso8601 | TimestampFormat::Rfc822))
        );
        self.put(match in_words {
            true => value.to_string().into(),
            false => value.seconds().into(),
        });
    }
    fn begin_structure(&mut self, _: &'static Schema) {
        self.begin();
    }
    fn member(&mut self, _: usize, member: &'static Member) {
        self.name(member.wire());
    }
    fn end_structure(&mut self) {
        self.end();
    }
    fn begin_list(&mut self, _: &'static Schema, length: usize) {
        self.open.push(Open::List(Vec::with_capacity(length)));
    }
    fn item(&mut self) {}
    fn end_list(&mut self) {
        self.end();
    }
    fn begin_map(&mut self, _: &'static Schema, _: usize) {
        self.begin();
    }
    fn key(&mut self, key: &str) {
        self.name(key);
    }
    fn end_map(&mut self) {
        self.end();
    }
    fn document(&mut self, value: &Value) {
        self.put(value.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    static TEXT: Schema = Schema::new("Text", Kind::String);
    static TEXTS: Schema = Schema::new("Texts", Kind::List(&Member::new("member", &TEXT)));
    static MEMBERS: [Member; 2] = [Member::new("cluster", &TEXT), Member::new("tasks", &TEXTS)];
    static INPUT: Schema = Schema::new("Input", Kind::Structure(&MEMBERS));

    #[test]
    fn the_tree_is_that_of_the_text() {
        let mut tree = Tree::default();
        let writer: &mut dyn Writer = &mut tree;
        writer.begin_structure(&INPUT);
        writer.member(0, &MEMBERS[0]);
        writer.string("prod", &TEXT);
        writer.member(1, &MEMBERS[1]);
        writer.begin_list(&TEXTS, 2);
        for task in ["a", "b"] {
            writer.item();
            writer.string(task, &TEXT);
        }
        writer.end_list();
        writer.member(1, &MEMBERS[1]);
        writer.begin_map(&TEXTS, 1);
        writer.key("x");
        writer.integer(1, &TEXT);
        writer.end_map();
        writer.end_structure();
        assert_eq!(tree.finish(), json!({ "cluster": "prod", "tasks": { "x": 1 } }));
    }
}
