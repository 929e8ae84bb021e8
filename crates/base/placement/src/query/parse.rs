//! From text to tree.

use super::node::{Check, Kind, Node, Relation, Test};
use super::operator::{self, Asked, Operator};
use super::scan::Scanner;
use super::version::Version;
use super::{MAX_EXPRESSION_CHARS, MAX_NESTING, MAX_PATTERNS, QueryError, date, pattern};

const SUBJECTS: &str = "a subject (agentConnected, agentVersion, attribute:<name>, ec2InstanceId, \
                        registeredAt, runningTasksCount or task:group), 'not', '!' or '('";
const CONNECTORS: &str = "'and', '&&', 'or', '||' or the end of the expression \
                          (a value with spaces must be in quotes)";
const ATTRIBUTE: &str =
    "attribute:<name>, the name being 1 to 128 letters, digits, '-', '_', '.', '/' or '\\'";
const VALUE: &str = "a value (in quotes if it has spaces or signs)";
const VERSION: &str = "a version as in 1.14.5";
const DATE: &str = "a date as in 2018-06-18T22:28:28+00:00, 2018-06-18T22:28:28Z, \
                    2018-06-18T22:28:28 or 2018-06-18";
/// ECS's limit for the name of an attribute, in characters (API reference, `Attribute`).
const MAX_ATTRIBUTE_NAME_CHARS: usize = 128;

/// Reads a whole expression.
pub(super) fn parse(text: &str) -> Result<Node, QueryError> {
    if let Some((at, _)) = text.char_indices().nth(MAX_EXPRESSION_CHARS) {
        let what = format!("an expression has at most {MAX_EXPRESSION_CHARS} characters");
        return Err(QueryError::new(at, what));
    }
    let mut parser = Parser { scan: Scanner::new(text), patterns: 0 };
    let root = parser.any(0)?;
    match parser.scan.peek() {
        None => Ok(root),
        Some(_) => Err(parser.scan.unexpected(CONNECTORS)),
    }
}

struct Parser<'a> {
    scan: Scanner<'a>,
    /// Regular expressions seen so far.
    patterns: usize,
}

/// What a value must be.
#[derive(Clone, Copy)]
enum Value {
    Anything,
    Boolean,
}

impl<'a> Parser<'a> {
    /// Terms joined by `or`. Like the others, ends before what it does not understand.
    fn any(&mut self, depth: u32) -> Result<Node, QueryError> {
        let mut nodes = vec![self.all(depth)?];
        while self.scan.take("||") || self.scan.take_word("or") {
            nodes.push(self.all(depth)?);
        }
        Ok(only_or(nodes, Node::Any))
    }

    /// Terms joined by `and`.
    fn all(&mut self, depth: u32) -> Result<Node, QueryError> {
        let mut nodes = vec![self.term(depth)?];
        while self.scan.take("&&") || self.scan.take_word("and") {
            nodes.push(self.term(depth)?);
        }
        Ok(only_or(nodes, Node::All))
    }

    fn term(&mut self, depth: u32) -> Result<Node, QueryError> {
        let mut negated = false;
        self.scan.skip_space();
        while self.scan.take("!") || self.scan.take_word("not") {
            negated = !negated;
            self.scan.skip_space();
        }
        let node = match self.scan.peek() {
            Some('(') => self.compound(depth)?,
            _ => Node::Test(self.simple()?),
        };
        self.scan.skip_space();
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    fn compound(&mut self, depth: u32) -> Result<Node, QueryError> {
        if depth == MAX_NESTING {
            let what = format!("parentheses are nested more than {MAX_NESTING} deep");
            return Err(self.scan.error(what));
        }
        self.scan.take("(");
        let node = self.any(depth + 1)?;
        match self.scan.take(")") {
            true => Ok(node),
            false => Err(self.scan.unexpected("')', 'and', '&&', 'or' or '||'")),
        }
    }

    fn simple(&mut self) -> Result<Test, QueryError> {
        let before = self.scan;
        Ok(match self.scan.word() {
            "agentConnected" => Test::AgentConnected(self.check(Asked::Text, Value::Boolean)?),
            "agentVersion" => {
                let (relation, version) = self.related(VERSION, Version::parse)?;
                Test::AgentVersion(relation, version)
            }
            "ec2InstanceId" => Test::Ec2InstanceId(self.check(Asked::Text, Value::Anything)?),
            "registeredAt" => {
                let (relation, seconds) = self.related(DATE, date::seconds)?;
                Test::RegisteredAt(relation, seconds)
            }
            "runningTasksCount" => {
                let (relation, count) = self.related("a whole number", whole_number)?;
                Test::RunningTasksCount(relation, count)
            }
            "task:group" => Test::TaskGroup(self.check(Asked::Anything, Value::Anything)?),
            word => match word.strip_prefix("attribute:") {
                Some(name) if is_attribute_name(name) => {
                    Test::Attribute(name.into(), self.check(Asked::Anything, Value::Anything)?)
                }
                Some(_) => return Err(before.unexpected(ATTRIBUTE)),
                None => return Err(before.unexpected(SUBJECTS)),
            },
        })
    }

    /// An operator and its argument, for a subject that is a text.
    fn check(&mut self, asked: Asked, value: Value) -> Result<Check, QueryError> {
        let (negated, kind) = match self.operator(asked)? {
            Operator::Related(Relation::Equal) => (false, Kind::Equals(self.text(value)?)),
            Operator::Related(Relation::NotEqual) => (true, Kind::Equals(self.text(value)?)),
            Operator::Related(relation) => (false, Kind::Ordered(relation, self.text(value)?)),
            Operator::Exists { negated } => (negated, Kind::Exists),
            Operator::In { negated } => (negated, Kind::In(self.list(value)?)),
            Operator::Matches { negated } => (negated, self.pattern()?),
        };
        Ok(Check { negated, kind })
    }

    /// An operator and its argument, for a subject that has an order.
    fn related<T>(
        &mut self,
        form: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<(Relation, T), QueryError> {
        self.scan.skip_space();
        let before = self.scan;
        let Operator::Related(relation) = self.operator(Asked::Order)? else {
            return Err(before.unexpected(Asked::Order.words()));
        };
        self.scan.skip_space();
        let before = self.scan;
        let value = read(self.literal(form)?).ok_or_else(|| before.unexpected(form))?;
        Ok((relation, value))
    }

    fn operator(&mut self, asked: Asked) -> Result<Operator, QueryError> {
        self.scan.skip_space();
        let before = self.scan;
        let operator = operator::take(&mut self.scan).filter(|&found| asked.allows(found));
        operator.ok_or_else(|| before.unexpected(asked.words()))
    }

    fn text(&mut self, value: Value) -> Result<Box<str>, QueryError> {
        self.scan.skip_space();
        let before = self.scan;
        match value {
            Value::Anything => Ok(self.literal(VALUE)?.into()),
            Value::Boolean => match self.literal("true or false")? {
                text @ ("true" | "false") => Ok(text.into()),
                _ => Err(before.unexpected("true or false")),
            },
        }
    }

    /// A value, bare or in quotes.
    fn literal(&mut self, form: &str) -> Result<&'a str, QueryError> {
        let before = self.scan;
        if let Some(text) = self.scan.quoted()? {
            return Ok(text);
        }
        match self.scan.word() {
            "" => Err(before.unexpected(form)),
            word => Ok(word),
        }
    }

    fn list(&mut self, value: Value) -> Result<Vec<Box<str>>, QueryError> {
        self.scan.skip_space();
        if !self.scan.take("[") {
            return Err(self.scan.unexpected("a list as in [one, two]"));
        }
        let mut values = Vec::new();
        loop {
            values.push(self.text(value)?);
            self.scan.skip_space();
            if self.scan.take("]") {
                return Ok(values);
            }
            if !self.scan.take(",") {
                return Err(self.scan.unexpected("',' or ']'"));
            }
        }
    }

    fn pattern(&mut self) -> Result<Kind, QueryError> {
        self.scan.skip_space();
        let before = self.scan;
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            let what = format!("an expression has at most {MAX_PATTERNS} regular expressions");
            return Err(before.error(what));
        }
        let (source, offset) = match self.scan.quoted()? {
            Some(text) => (text, before.at() + 1),
            None => (self.bare_pattern()?, before.at()),
        };
        let compiled = pattern::compile(source);
        let compiled = compiled.map_err(|wrong| QueryError::new(offset + wrong.at, wrong.what))?;
        Ok(Kind::Matches(Box::new(compiled)))
    }

    /// A simple expression has no parentheses (Developer Guide), so neither has a bare pattern.
    fn bare_pattern(&mut self) -> Result<&'a str, QueryError> {
        let before = self.scan;
        let text = self.scan.pattern();
        match (text, self.scan.peek()) {
            (_, Some('(')) => Err(self.scan.unexpected(
                "a regular expression without parentheses, or one in quotes as in '(t2|t3).*'",
            )),
            ("", _) => Err(before.unexpected("a regular expression")),
            (text, _) => Ok(text),
        }
    }
}

/// The only one of `nodes`, or all of them joined.
fn only_or(mut nodes: Vec<Node>, join: impl FnOnce(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => node,
        last => {
            nodes.extend(last);
            join(nodes)
        }
    }
}

fn whole_number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn is_attribute_name(name: &str) -> bool {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-_./\\".contains(letter);
    (1..=MAX_ATTRIBUTE_NAME_CHARS).contains(&name.len()) && name.chars().all(good)
}
