//! Conversations with a server, kept as text: requests, and the answers that they must get.
//!
//! ```text
//! # a comment
//! > CreateCluster {"clusterName": "web"}
//! < 200
//! {
//!   "cluster": …
//! }
//! ```
//!
//! A request may go on over lines; an answer ends with an empty one. Other lines: `> GET <path>`;
//! `> POST <path> <body>`;
//! `@ key` (who calls from now on); `! connect <arn>`, `! advance <seconds>`. Ids are written by
//! their order of appearance (`{hex-1}`, `{uuid-2}`), and requests may use those names. Times are
//! the test's own, so they stand as they are. With `UPDATE_GOLDEN=1` the answers are written anew.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::Value;

use super::server::Server;

/// Ids that begin so were made up by a conversation, and stand as they are.
const MADE_UP: &str = "0000000000000000";

/// What stands before the token of the next page, which has an id in it.
const NEXT_TOKEN: &str = "\"nextToken\": \"";

/// How many digits there are in the id of a service's revision, deployment or task set.
const SERIAL_DIGITS: usize = 19;

/// What stands before the id of a service deployment, after two names.
const SERVICE_DEPLOYMENT: &str = ":service-deployment/";

/// Names of ids, in the order of their appearance.
#[derive(Default)]
struct Names(Vec<(String, String)>);

impl Names {
    /// The text with names in place of ids.
    fn mask(&mut self, text: &str, endpoint: &str) -> String {
        let mut masked = String::new();
        let mut text = text.replace(endpoint, "{endpoint}");
        if let Some((_, token)) = text.split_once(NEXT_TOKEN) {
            let token = token.split('"').next().unwrap().to_owned();
            text = text.replace(&token, &self.name("token", &token));
        }
        let text = self.mask_interfaces(&text);
        let text = self.mask_service_deployments(text);
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let run = rest.find(|c: char| !c.is_ascii_hexdigit() && c != '-').unwrap_or(rest.len());
            let kind = match &rest[..run] {
                word if word.starts_with(MADE_UP) => None,
                word if run == 32 && !word.contains('-') => Some("hex"),
                word if run == 36 && word.matches('-').count() == 4 => Some("uuid"),
                word if run == 18 && is_machine(&masked, word) => Some("machine"),
                word if run == SERIAL_DIGITS && word.bytes().all(|b| b.is_ascii_digit()) => {
                    Some("serial")
                }
                _ => None,
            };
            let step = if run == 0 { first.len_utf8() } else { run };
            match kind {
                Some(kind) => masked.push_str(&self.name(kind, &rest[..run])),
                None => masked.push_str(&rest[..step]),
            }
            rest = &rest[step..];
        }
        masked
    }

    /// The text with names in place of the last parts of service deployments' ARNs.
    fn mask_service_deployments(&mut self, text: String) -> String {
        let mut part = |part: &str| {
            let arn = part.split_once(SERVICE_DEPLOYMENT).map(|(_, rest)| rest);
            let id = arn.and_then(|rest| rest.splitn(3, '/').nth(2));
            match id.filter(|id| !id.starts_with(MADE_UP)) {
                Some(id) => part.replace(id, &self.name("deployment", id)),
                None => part.to_owned(),
            }
        };
        text.split('"').map(&mut part).collect::<Vec<_>>().join("\"")
    }

    /// The text with names in place of addresses, MACs and host names of tasks.
    fn mask_interfaces(&mut self, text: &str) -> String {
        let mut name = |part: &str| match part.get(..3) {
            Some("172") if part.parse::<Ipv4Addr>().is_ok() => self.name("address", part),
            Some("02:") if part.len() == 17 => self.name("ether", part),
            Some("ip-") if part.ends_with(".internal") => self.name("host", part),
            _ => part.to_owned(),
        };
        text.split('"').map(&mut name).collect::<Vec<_>>().join("\"")
    }

    fn name(&mut self, kind: &str, id: &str) -> String {
        if let Some((_, name)) = self.0.iter().find(|(known, _)| known == id) {
            return name.clone();
        }
        let number = self.0.iter().filter(|(_, name)| name[1..].starts_with(kind)).count() + 1;
        let name = format!("{{{kind}-{number}}}");
        self.0.push((id.to_owned(), name.clone()));
        name
    }

    /// The text with ids in place of names.
    fn unmask(&self, text: &str) -> String {
        let put = |text: String, (id, name): &(String, String)| text.replace(name, id);
        self.0.iter().fold(text.to_owned(), put)
    }
}

/// `i-` and 17 digits, as EC2 names its machines: the `i` came before.
fn is_machine(before: &str, word: &str) -> bool {
    word.starts_with('-') && !word[1..].contains('-') && before.ends_with('i')
}

/// Plays the conversation in `golden/<name>.txt`.
pub async fn play(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/{name}.txt"));
    let script = std::fs::read_to_string(&path).unwrap();
    let played = replay(&script).await;
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, played).unwrap();
        return;
    }
    for (number, (wanted, got)) in script.lines().zip(played.lines()).enumerate() {
        assert_eq!(wanted, got, "{name}.txt, line {}", number + 1);
    }
    assert_eq!(script.len(), played.len(), "{name}.txt is longer or shorter than what was said");
}

async fn replay(script: &str) -> String {
    let server = Server::start_at_rest().await;
    let (mut names, mut key) = (Names::default(), "admin".to_owned());
    let mut played = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        let _ = writeln!(played, "{line}");
        if let Some(name) = line.strip_prefix("@ ") {
            name.clone_into(&mut key);
        } else if let Some(action) = line.strip_prefix("! ") {
            act(&server, &names.unmask(action)).await;
        } else if let Some(request) = line.strip_prefix("> ") {
            let mut request = request.to_owned();
            while let Some(more) = lines.next_if(|line| goes_on(line)) {
                let _ = writeln!(played, "{more}");
                request = request + "\n" + more;
            }
            if lines.peek().is_some_and(|line| line.starts_with("< ")) {
                while lines.next_if(|line| !line.is_empty()).is_some() {}
            }
            let (status, answer) = ask(&server, &key, &names.unmask(&request)).await;
            let answer = serde_json::to_string_pretty(&answer).unwrap();
            let answer = names.mask(&answer, server.endpoint());
            let _ = writeln!(played, "< {status}\n{answer}");
            if lines.peek().is_some_and(|line| !line.is_empty()) {
                played.push('\n');
            }
        }
    }
    played
}

/// Whether a line belongs to the request above it.
fn goes_on(line: &str) -> bool {
    !line.is_empty() && !line.starts_with(['<', '>', '!', '@', '#'])
}

async fn ask(server: &Server, key: &str, request: &str) -> (u16, Value) {
    let (operation, body) = request.split_once(char::is_whitespace).unwrap_or((request, "{}"));
    match operation {
        "GET" => server.get(key, body.trim()).await,
        "POST" => {
            let (path, body) = body.trim().split_once(char::is_whitespace).unwrap();
            server.post(key, path, body).await
        }
        _ => server.call(key, operation, body).await,
    }
}

async fn act(server: &Server, action: &str) {
    match action.split_once(' ').unwrap() {
        ("connect", arn) => server.connect(arn).await,
        ("advance", seconds) => server.advance(seconds.parse().unwrap()),
        (other, _) => panic!("a conversation knows no '{other}'"),
    }
}
