//! Tags of log drivers: Docker's template words (`{{.Name}}`, …), and the labels and variables
//! that go along with lines.

use std::collections::BTreeMap;

use agent_protocol::tag::{Container, Template};
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
/// If Docker could not read it, or what it asks for is not known here.
pub fn fill(template: &str, facts: &Facts) -> Result<String, String> {
    let container = Container {
        id: &facts.id,
        name: &facts.name,
        image: &facts.image,
        image_id: &facts.image_id,
        command: &facts.command,
        labels: Some(&facts.labels),
        environment: &facts.environment,
    };
    let filled = Template::parse(template).and_then(|template| template.fill(&container));
    filled.map_err(|wrong| format!("the tag '{template}' cannot be used: {wrong}"))
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
        check("{{.ImageName | upper}}/{{ .Name }}", Ok("NGINX:1/web"));
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
