//! Tags of log drivers: Docker's template words (`{{.Name}}`, …), and the labels and variables
//! that go along with lines.

use std::collections::BTreeMap;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// What a driver may say of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The container's id: 64 digits.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The image as the definition names it.
    pub image: String,
    /// The image's configuration, by digest.
    pub image_id: String,
    /// The command with its arguments.
    pub command: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Environment: `NAME=value`.
    pub environment: Vec<String>,
}

/// A template filled in.
///
/// # Errors
/// If there is something between braces that Docker has no word for.
pub fn fill(template: &str, facts: &Facts) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let Some((word, after)) = after.split_once("}}") else {
            return Err(format!("the tag '{template}' has '{{{{' without '}}}}'"));
        };
        let id = |full: &str| {
            let bare = full.strip_prefix("sha256:").unwrap_or(full);
            bare.get(..12).unwrap_or(bare).to_owned()
        };
        match word.trim() {
            ".ID" => filled.push_str(&id(&facts.id)),
            ".FullID" => filled.push_str(&facts.id),
            ".Name" => filled.push_str(&facts.name),
            ".ImageID" => filled.push_str(&id(&facts.image_id)),
            ".ImageFullID" => filled.push_str(&facts.image_id),
            ".ImageName" => filled.push_str(&facts.image),
            ".DaemonName" => filled.push_str("docker"),
            ".Command" => filled.push_str(&facts.command),
            other => {
                return Err(format!("the tag '{template}' has '{other}', which is not known here"));
            }
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The labels and variables that the options `labels`, `labels-regex`, `env` and `env-regex` ask
/// for.
///
/// # Errors
/// If a pattern is none.
pub fn attributes(
    options: &BTreeMap<String, String>,
    facts: &Facts,
) -> Result<BTreeMap<String, String>, String> {
    let variables: BTreeMap<String, String> = facts
        .environment
        .iter()
        .filter_map(|entry| entry.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut chosen = BTreeMap::new();
    for (option, all) in [("labels", &facts.labels), ("env", &variables)] {
        for name in options.get(option).map_or("", String::as_str).split(',') {
            if let Some(value) = all.get(name.trim()) {
                chosen.insert(name.trim().to_owned(), value.clone());
            }
        }
        let option = format!("{option}-regex");
        let Some(pattern) = options.get(&option).filter(|pattern| !pattern.is_empty()) else {
            continue;
        };
        let pattern = Regex::new(pattern).map_err(|error| format!("{option}: {error}"))?;
        let matching = all.iter().filter(|(name, _)| pattern.is_match(name));
        chosen.extend(matching.map(|(name, value)| (name.clone(), value.clone())));
    }
    Ok(chosen)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled() {
        let facts = Facts {
            id: "0123456789abcdef".to_owned(),
            name: "web".to_owned(),
            image: "nginx:1".to_owned(),
            image_id: "sha256:fedcba9876543210".to_owned(),
            ..Facts::default()
        };
        let check = |template: &str, expected: Result<&str, ()>| {
            let filled = fill(template, &facts).map_err(drop);
            assert_eq!(filled.as_deref(), expected.as_deref(), "{template}");
        };
        check("{{.ID}}", Ok("0123456789ab"));
        check("{{.ImageName}}/{{ .Name }}/{{.FullID}}", Ok("nginx:1/web/0123456789abcdef"));
        check("{{.ImageID}}", Ok("fedcba987654"));
        check("plain", Ok("plain"));
        check("{{.Nope}}", Err(()));
        check("{{.ID", Err(()));
    }

    #[test]
    fn labels_and_variables_are_chosen() {
        let facts = Facts {
            labels: [("app".to_owned(), "a".to_owned()), ("tier".to_owned(), "t".to_owned())]
                .into(),
            environment: vec!["HOME=/".to_owned(), "APP_X=1".to_owned()],
            ..Facts::default()
        };
        let options = [("labels", "app, none"), ("env-regex", "^APP_")];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let chosen = attributes(&options, &facts).unwrap();
        let chosen: Vec<_> = chosen.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(chosen, ["APP_X=1", "app=a"]);
    }
}
