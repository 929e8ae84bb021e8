//! What a template's words mean.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::lex::{Piece, Word};
use super::{FIELDS, Node, Operand, Pipeline, Value, functions};

/// How deep blocks and parentheses may lie in each other.
const MAX_DEPTH: usize = 32;

/// How a list of parts ended.
enum End {
    Template,
    Block,
    Else(Vec<Word>),
}

struct Parser {
    pieces: IntoIter<Piece>,
    /// Variables that can be seen.
    variables: Vec<String>,
    /// Whether `.` is the container here.
    dot_is_container: bool,
    depth: usize,
}

/// Reads a whole template.
pub(super) fn template(pieces: Vec<Piece>) -> Result<Vec<Node>, String> {
    let pieces = pieces.into_iter();
    let mut parser =
        Parser { pieces, variables: vec![String::new()], dot_is_container: true, depth: 0 };
    match parser.nodes()? {
        (nodes, End::Template) => Ok(nodes),
        (_, End::Block) => Err("'end' ends nothing".to_owned()),
        (_, End::Else(_)) => Err("'else' belongs to nothing".to_owned()),
    }
}

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, End), String> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let mut words = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(words) => words,
            };
            let keyword = match words.first() {
                Some(Word::Name(name)) => name.clone(),
                _ => String::new(),
            };
            match keyword.as_str() {
                "if" | "with" | "range" => {
                    words.remove(0);
                    nodes.push(self.block(&keyword, words)?);
                }
                "else" => {
                    words.remove(0);
                    return Ok((nodes, End::Else(words)));
                }
                "end" if words.len() == 1 => return Ok((nodes, End::Block)),
                "end" => return Err("'end' takes nothing".to_owned()),
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(format!("'{keyword}' is not known here"));
                }
                _ => nodes.push(Node::Action(self.pipeline(words)?)),
            }
        }
        Ok((nodes, End::Template))
    }

    fn block(&mut self, keyword: &str, words: Vec<Word>) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("it has more than {MAX_DEPTH} blocks in each other"));
        }
        let known = self.variables.len();
        let was = self.dot_is_container;
        let of = self.pipeline(words)?;
        self.dot_is_container &= keyword == "if";
        let (then, end) = self.nodes()?;
        // In the other branch `.` is what it was.
        self.dot_is_container = was;
        let other = match end {
            End::Block => Vec::new(),
            End::Template => return Err(format!("'{keyword}' has no 'end'")),
            End::Else(mut words) if words.is_empty() => {
                let (nodes, end) = self.nodes()?;
                let End::Block = end else { return Err(format!("'{keyword}' has no 'end'")) };
                words.clear();
                nodes
            }
            End::Else(mut words) => {
                let again = matches!(words.first(), Some(Word::Name(name)) if name == keyword)
                    && keyword != "range";
                if !again {
                    return Err(format!("'else' of '{keyword}' is followed by something else"));
                }
                words.remove(0);
                vec![self.block(keyword, words)?]
            }
        };
        self.variables.truncate(known);
        self.depth -= 1;
        let make = match keyword {
            "if" => Node::If,
            "with" => Node::With,
            _ => Node::Range,
        };
        Ok(make(of, then, other))
    }

    fn pipeline(&mut self, words: Vec<Word>) -> Result<Pipeline, String> {
        let mut words = words.into_iter().peekable();
        let declares = self.declared(&mut words)?;
        let commands = self.commands(&mut words, false)?;
        if words.next().is_some() {
            return Err("it has ')' without '('".to_owned());
        }
        let new = declares.iter().filter(|name| !self.variables.contains(name)).cloned();
        let new: Vec<String> = new.collect();
        self.variables.extend(new);
        Ok(Pipeline { declares, commands })
    }

    /// `$x :=`, `$x =` or `$place, $element :=` before a pipeline.
    fn declared(&self, words: &mut Peekable<IntoIter<Word>>) -> Result<Vec<String>, String> {
        let ahead: Vec<Word> = words.clone().take(4).collect();
        let (names, sign) = match ahead.as_slice() {
            [Word::Variable(one), sign, ..] if is_sign(sign) => (vec![one.clone()], sign.clone()),
            [Word::Variable(one), Word::Comma, Word::Variable(two), sign] if is_sign(sign) => {
                (vec![one.clone(), two.clone()], sign.clone())
            }
            _ => return Ok(Vec::new()),
        };
        if names.iter().any(String::is_empty) {
            return Err("'$' cannot be given another value".to_owned());
        }
        if sign == Word::Assign
            && let Some(unknown) = names.iter().find(|name| !self.variables.contains(name))
        {
            return Err(format!("the variable ${unknown} is not known"));
        }
        words.nth(2 * names.len() - 1);
        Ok(names)
    }

    /// Commands up to the end, or up to a closing parenthesis, which is left.
    fn commands(
        &mut self,
        words: &mut Peekable<IntoIter<Word>>,
        is_group: bool,
    ) -> Result<Vec<Vec<Operand>>, String> {
        let (mut commands, mut command) = (Vec::new(), Vec::new());
        loop {
            let ends = matches!(words.peek(), None | Some(Word::Close));
            if ends || words.peek() == Some(&Word::Pipe) {
                if command.is_empty() {
                    return Err("a command is missing".to_owned());
                }
                let is_text = !matches!(command.first(), Some(Operand::Function(_)));
                if is_text && (command.len() > 1 || !commands.is_empty()) {
                    return Err("only a function can be given something".to_owned());
                }
                commands.push(std::mem::take(&mut command));
            }
            if ends {
                return match (is_group, words.peek()) {
                    (true, None) => Err("it has '(' without ')'".to_owned()),
                    _ => Ok(commands),
                };
            }
            let Some(word) = words.next() else { continue };
            if word != Word::Pipe {
                let operand = self.operand(word, words)?;
                command.push(operand);
            }
        }
    }

    fn operand(
        &mut self,
        word: Word,
        words: &mut Peekable<IntoIter<Word>>,
    ) -> Result<Operand, String> {
        let mut behind = || match words.next_if(|next| matches!(next, Word::Behind(_))) {
            Some(Word::Behind(fields)) => fields,
            _ => Vec::new(),
        };
        Ok(match word {
            Word::Text(text) => Operand::Literal(Value::Text(text)),
            Word::Number(number) => Operand::Literal(Value::Number(number)),
            Word::Fields(fields) => {
                if self.dot_is_container {
                    known(&fields)?;
                }
                Operand::Dot(fields)
            }
            Word::Variable(name) => {
                if !self.variables.contains(&name) {
                    return Err(format!("the variable ${name} is not known"));
                }
                let fields = behind();
                if name.is_empty() {
                    known(&fields)?;
                }
                Operand::Variable(name, fields)
            }
            Word::Name(name) => match name.as_str() {
                "true" => Operand::Literal(Value::Truth(true)),
                "false" => Operand::Literal(Value::Truth(false)),
                "nil" => Operand::Literal(Value::Nil),
                _ => match functions::NAMES.iter().find(|known| **known == name) {
                    Some(known) => Operand::Function(known),
                    None => return Err(format!("the function '{name}' is not known here")),
                },
            },
            Word::Open => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(format!("it has more than {MAX_DEPTH} parentheses in each other"));
                }
                let commands = self.commands(words, true)?;
                words.next();
                self.depth -= 1;
                let behind = match words.next_if(|next| matches!(next, Word::Behind(_))) {
                    Some(Word::Behind(fields)) => fields,
                    _ => Vec::new(),
                };
                Operand::Group(Pipeline { declares: Vec::new(), commands }, behind)
            }
            other => return Err(format!("{other:?} is at no place for it")),
        })
    }
}

fn is_sign(word: &Word) -> bool {
    matches!(word, Word::Declare | Word::Assign)
}

/// Checks the fields of the container.
fn known(fields: &[String]) -> Result<(), String> {
    match fields.first() {
        Some(field) if !FIELDS.contains(&field.as_str()) => {
            Err(format!("'.{field}' is not known here"))
        }
        _ => Ok(()),
    }
}
