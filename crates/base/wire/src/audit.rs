//! What is remembered of each call, for a trail: who, what, from where, what was decided, what came
//! of it. The edge gathers it; whoever implements [`Auditor`] keeps it.
//!
//! **Invariant:** no secret gets in: of an input, only members that name or count something.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value as Json};
use terms::{Region, Timestamp, Uuid};

use crate::schema::{Member, Schema};
use crate::value::Writer;
use crate::{Caller, Decided, ServiceError};

/// Characters of one text that are kept.
const TEXT_MAX: usize = 256;
/// Characters of a policy document or of an error's text that are kept.
const LONG_TEXT_MAX: usize = 2048;
/// Items of one list that are kept.
const ITEMS_MAX: usize = 20;

/// Keeps what the edge tells it. Never waited for.
pub trait Auditor: Send + Sync + 'static {
    /// A call was answered.
    fn record(&self, call: AuditedCall);
}

/// One call, once it was answered.
#[derive(Debug, Clone)]
pub struct AuditedCall {
    /// The id of the request.
    pub request_id: Uuid,
    /// When it came in.
    pub at: Timestamp,
    /// The client's address, if it came over a socket.
    pub source: Option<SocketAddr>,
    /// What the client calls itself; at most 256 characters.
    pub user_agent: Option<String>,
    /// Whether it came within TLS.
    pub is_tls: bool,
    /// The service's name, or `longshore` for a route.
    pub service: &'static str,
    /// The operation's name, or the route's prefix.
    pub operation: &'static str,
    /// The region that was meant.
    pub region: Region,
    /// Who called; none if that was not found out.
    pub caller: Option<Arc<Caller>>,
    /// The access key id that the request claimed to be signed with.
    pub claimed_key: Option<String>,
    /// Members of the input that name or count something, by the model's names.
    pub parameters: Map<String, Json>,
    /// What was decided, and why.
    pub decided: Decided,
    /// What it was refused with, or failed with: code and text.
    pub error: Option<(String, String)>,
}

/// What is gathered of a call on its way.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Noted>);

#[derive(Debug, Default, Clone)]
pub(crate) struct Noted {
    pub(crate) what: Option<(&'static str, &'static str)>,
    pub(crate) caller: Option<Arc<Caller>>,
    pub(crate) parameters: Map<String, Json>,
    pub(crate) decided: Decided,
    pub(crate) error: Option<(String, String)>,
}

impl Heard {
    pub(crate) fn call(&self, service: &'static str, operation: &'static str) {
        self.0.lock().what = Some((service, operation));
    }

    pub(crate) fn caller(&self, caller: &Arc<Caller>) {
        self.0.lock().caller = Some(Arc::clone(caller));
    }

    pub(crate) fn parameters(&self, parameters: Map<String, Json>) {
        self.0.lock().parameters = parameters;
    }

    pub(crate) fn decided(&self, decided: Decided) {
        self.0.lock().decided = decided;
    }

    pub(crate) fn refused(&self, error: &ServiceError) {
        let text = shortened(&error.message, LONG_TEXT_MAX);
        self.0.lock().error = Some((error.code.clone(), text));
    }

    pub(crate) fn take(&self) -> Noted {
        std::mem::take(&mut *self.0.lock())
    }
}

/// The beginning of a text.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a client calls itself, at most 256 characters of it.
pub fn user_agent(headers: &http::HeaderMap) -> Option<String> {
    let value = headers.get(http::header::USER_AGENT)?.to_str().ok()?;
    Some(shortened(value, TEXT_MAX))
}

/// Members that name something, by the ends of their names.
const ENDINGS: [&str; 8] = ["Name", "Names", "Arn", "Arns", "ARN", "ARNs", "Id", "Ids"];

/// Members that name or count something under other names, and documents of policies.
const WORDS: [&str; 34] = [
    "cluster",
    "clusters",
    "service",
    "services",
    "task",
    "tasks",
    "taskDefinition",
    "family",
    "container",
    "containerInstance",
    "containerInstances",
    "capacityProvider",
    "capacityProviders",
    "desiredCount",
    "launchType",
    "startedBy",
    "group",
    "status",
    "force",
    "enableExecuteCommand",
    "role",
    "Path",
    "Paths",
    "PolicyDocument",
    "AssumeRolePolicyDocument",
    "Policy",
    "DurationSeconds",
    "Description",
    "Rule",
    "State",
    "ScheduleExpression",
    "MaxSessionDuration",
    "PermissionsBoundary",
    "SourceIdentity",
];

fn is_noted(member: &Member) -> bool {
    if member.target.sensitive {
        return false;
    }
    let name = member.name;
    if name == "ExternalId" {
        return false;
    }
    ENDINGS.iter().any(|ending| name.ends_with(ending)) || WORDS.contains(&name)
}

/// Walks an input and keeps its outermost members that are noted: texts, numbers, lists of texts.
#[derive(Default)]
pub(crate) struct Noter {
    depth: usize,
    /// The member that the walk is in, if it is noted.
    name: Option<&'static str>,
    noted: Map<String, Json>,
}

impl Noter {
    pub(crate) fn finish(self) -> Map<String, Json> {
        self.noted
    }

    fn note(&mut self, value: Json) {
        let Some(name) = self.name else { return };
        match self.depth {
            1 => {
                self.noted.insert(name.to_owned(), value);
            }
            2 => {
                if let Some(Json::Array(items)) = self.noted.get_mut(name)
                    && items.len() < ITEMS_MAX
                {
                    items.push(value);
                }
            }
            _ => {}
        }
    }
}

impl Writer for Noter {
    fn boolean(&mut self, value: bool) {
        self.note(value.into());
    }
    fn integer(&mut self, value: i64, _: &'static Schema) {
        self.note(value.into());
    }
    fn double(&mut self, value: f64, _: &'static Schema) {
        self.note(value.into());
    }
    fn string(&mut self, value: &str, schema: &'static Schema) {
        if self.name.is_some() && self.depth <= 2 && !schema.sensitive {
            let is_document = self.name.is_some_and(|name| name.contains("Policy"));
            let max = if is_document { LONG_TEXT_MAX } else { TEXT_MAX };
            self.note(shortened(value, max).into());
        }
    }
    fn blob(&mut self, _: &[u8], _: &'static Schema) {}
    fn timestamp(&mut self, value: Timestamp, _: &'static Schema) {
        if self.name.is_some() {
            self.note(value.to_string().into());
        }
    }
    fn begin_structure(&mut self, _: &'static Schema) {
        self.depth += 1;
    }
    fn member(&mut self, _: usize, member: &'static Member) {
        if self.depth == 1 {
            self.name = is_noted(member).then_some(member.name);
        }
    }
    fn end_structure(&mut self) {
        self.depth -= 1;
    }
    fn begin_list(&mut self, _: &'static Schema, _: usize) {
        if self.depth == 1 {
            self.note(Json::Array(Vec::new()));
        }
        self.depth += 1;
    }
    fn item(&mut self) {}
    fn end_list(&mut self) {
        self.depth -= 1;
    }
    fn begin_map(&mut self, _: &'static Schema, _: usize) {
        self.depth += 2;
    }
    fn key(&mut self, _: &str) {}
    fn end_map(&mut self) {
        self.depth -= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Kind;

    static TEXT: Schema = Schema::new("Text", Kind::String);
    static SECRET: Schema = Schema {
        name: "Secret",
        kind: Kind::String,
        length: None,
        range: None,
        pattern: None,
        sensitive: true,
    };
    static TEXTS: Schema = Schema::new("Texts", Kind::List(&Member::new("member", &TEXT)));
    static INSIDE: [Member; 1] = [Member::new("roleArn", &TEXT)];
    static INNER: Schema = Schema::new("Inner", Kind::Structure(&INSIDE));
    static MEMBERS: [Member; 6] = [
        Member::new("cluster", &TEXT),
        Member::new("SecretString", &TEXT),
        Member::new("keyId", &SECRET),
        Member::new("tasks", &TEXTS),
        Member::new("overrides", &INNER),
        Member::new("clientToken", &TEXT),
    ];
    static INPUT: Schema = Schema::new("Input", Kind::Structure(&MEMBERS));

    #[test]
    fn what_names_something_is_noted_and_nothing_else() {
        let mut noter = Noter::default();
        let writer: &mut dyn Writer = &mut noter;
        writer.begin_structure(&INPUT);
        for (index, value) in [(0, "prod"), (1, "hidden"), (2, "hidden"), (5, "hidden")] {
            writer.member(index, &MEMBERS[index]);
            writer.string(value, MEMBERS[index].target);
        }
        writer.member(3, &MEMBERS[3]);
        writer.begin_list(&TEXTS, 30);
        for _ in 0..30 {
            writer.item();
            writer.string(&"x".repeat(TEXT_MAX + 1), &TEXT);
        }
        writer.end_list();
        writer.member(4, &MEMBERS[4]);
        writer.begin_structure(&INNER);
        writer.member(0, &INSIDE[0]);
        writer.string("hidden", &TEXT);
        writer.end_structure();
        writer.end_structure();
        let noted = noter.finish();
        assert_eq!(noted.keys().collect::<Vec<_>>(), ["cluster", "tasks"]);
        assert_eq!(noted["cluster"], "prod");
        assert_eq!(noted["tasks"].as_array().map(Vec::len), Some(ITEMS_MAX));
        assert_eq!(noted["tasks"][0].as_str().map(|text| text.chars().count()), Some(257));
    }
}
