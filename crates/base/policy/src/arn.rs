//! ARNs in requests and patterns of ARNs in policies: six fields, of which the last keeps its
//! colons; no wildcard crosses the first five.

use crate::Context;
use crate::glob::{Glob, Reading};

/// What a request is about: an ARN in its fields, or `*` for actions that have no resources.
#[derive(Debug, Clone, Copy)]
pub struct Arn<'a> {
    /// As it was written.
    pub text: &'a str,
    fields: Option<[&'a str; 6]>,
}

impl<'a> Arn<'a> {
    /// The ARN of this text. A text with fewer fields is only ever matched by `*`.
    pub fn new(text: &'a str) -> Self {
        Self { text, fields: fields(text) }
    }

    /// The account in it; empty if it has none.
    pub fn account(&self) -> &'a str {
        self.fields.map_or("", |fields| fields[4])
    }
}

fn fields(text: &str) -> Option<[&str; 6]> {
    let mut parts = text.splitn(6, ':');
    let mut fields = [""; 6];
    for field in &mut fields {
        *field = parts.next()?;
    }
    (fields[0] == "arn").then_some(fields)
}

/// A pattern of ARNs.
#[derive(Debug, Clone)]
pub(crate) enum ArnPattern {
    /// `*`: everything, also what is no ARN.
    Any,
    Fields(Box<[Glob; 6]>),
    /// Something that variables make: compared as a whole, with ARNs alone.
    Whole(Glob),
    /// Has the form of none.
    Never,
}

impl ArnPattern {
    /// The pattern of a `Resource`. Those with fewer fields go on with `*`; in resource policies
    /// (`pads` false) only if a wildcard is in them.
    pub(crate) fn resource(text: &str, variables: bool, pads: bool) -> Self {
        if text == "*" {
            return Self::Any;
        }
        let pads = pads || text.contains('*');
        Self::compile(text, variables, pads)
    }

    /// The pattern of an ARN operator's value: all six fields, or `*`.
    pub(crate) fn condition(text: &str, variables: bool) -> Self {
        match text {
            "*" => Self::Whole(Glob::Any),
            text if variables && text.starts_with("${") => {
                Self::Whole(Glob::new(text, Reading { wildcards: true, variables }))
            }
            text => Self::compile(text, variables, false),
        }
    }

    fn compile(text: &str, variables: bool, pads: bool) -> Self {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        if parts.first() != Some(&"arn") || (parts.len() < 6 && !pads) {
            return Self::Never;
        }
        let field = |number: usize| {
            let text = parts.get(number).copied().unwrap_or("*");
            Glob::new(text, Reading { wildcards: true, variables: variables && number == 5 })
        };
        Self::Fields(Box::new(std::array::from_fn(field)))
    }

    pub(crate) fn matches(&self, arn: &Arn<'_>, context: &Context) -> bool {
        match (self, &arn.fields) {
            (Self::Any, _) => true,
            (Self::Fields(globs), Some(fields)) => {
                // From the end: that is where ARNs of one service differ.
                globs.iter().zip(fields).rev().all(|(glob, field)| glob.matches(field, context))
            }
            (Self::Whole(glob), Some(_)) => glob.matches(arn.text, context),
            (Self::Fields(_) | Self::Whole(_), None) | (Self::Never, _) => false,
        }
    }

    /// Whether it fits ARNs of any account.
    pub(crate) fn is_of_any_account(&self) -> bool {
        match self {
            Self::Any | Self::Whole(_) => true,
            Self::Fields(globs) => !matches!(globs[4], Glob::Exact(_)),
            Self::Never => false,
        }
    }

    /// The keys of its variables.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let globs: &[Glob] = match self {
            Self::Fields(globs) => &globs[..],
            Self::Whole(glob) => std::slice::from_ref(glob),
            Self::Any | Self::Never => &[],
        };
        globs.iter().flat_map(Glob::keys)
    }
}
