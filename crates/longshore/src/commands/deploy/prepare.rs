//! The task definition that is to be deployed, as RegisterTaskDefinition takes it.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use wire::client::Client;

use crate::api::{ecs, text};

/// What DescribeTaskDefinition tells besides what was registered.
const TOLD_ONLY: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// The image of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The container; none for the only one.
    container: Option<String>,
    reference: String,
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (container, reference) = match text.split_once('=') {
            Some((container, reference)) => (Some(container), reference),
            None => (None, text),
        };
        if reference.is_empty() || container.is_some_and(str::is_empty) {
            return Err(format!("'{text}' is not of the form CONTAINER=REF, such as app=web:2.1"));
        }
        Ok(Self { container: container.map(str::to_owned), reference: reference.to_owned() })
    }
}

/// Whether what was given names a file: it looks like a path, or is one.
pub fn is_file(given: &str) -> bool {
    if given.starts_with("arn:") {
        return false;
    }
    given.ends_with(".json") || given.contains('/') || Path::new(given).is_file()
}

/// A JSON document of a file.
///
/// # Errors
/// If the file cannot be read or is no JSON.
pub fn read(file: &Path) -> Result<Value> {
    let name = file.display();
    let document = std::fs::read(file).with_context(|| format!("reading {name}"))?;
    serde_json::from_slice(&document).with_context(|| format!("{name} is no JSON"))
}

/// A registered definition as it could be registered again, its tags with it.
///
/// # Errors
/// If there is none.
pub async fn described(client: &Client, definition: &str) -> Result<Value> {
    let input = json!({"taskDefinition": definition, "include": ["TAGS"]});
    Ok(registrable(ecs(client, "DescribeTaskDefinition", &input).await?))
}

/// What DescribeTaskDefinition answered, as RegisterTaskDefinition takes it.
pub fn registrable(mut described: Value) -> Value {
    let mut document = described["taskDefinition"].take();
    let tags = described["tags"].take();
    if let Some(members) = document.as_object_mut() {
        TOLD_ONLY.iter().for_each(|name| drop(members.remove(*name)));
        if tags.as_array().is_some_and(|tags| !tags.is_empty()) {
            members.insert("tags".to_owned(), tags);
        }
    }
    document
}

/// Gives containers other images.
///
/// # Errors
/// If the definition has no such container, or several and none was named.
pub fn change_images(document: &mut Value, images: &[Image]) -> Result<()> {
    let containers = document["containerDefinitions"].as_array_mut();
    let containers = containers.map(Vec::as_mut_slice).unwrap_or_default();
    for image in images {
        let names: Vec<String> =
            containers.iter().map(|one| text(one, "name").to_owned()).collect();
        let at = match &image.container {
            Some(name) => names.iter().position(|one| one == name),
            None if names.len() == 1 => Some(0),
            None => bail!(
                "which container is to run {}? Write --image CONTAINER={0}; there are {}",
                image.reference,
                names.join(", ")
            ),
        };
        let Some(at) = at else {
            let name = image.container.as_deref().unwrap_or_default();
            bail!("the task definition has no container {name}; it has {}", names.join(", "));
        };
        containers[at]["image"] = image.reference.as_str().into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> Image {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn images_are_given_by_container() {
        let one = Image { container: Some("app".into()), reference: "r.local:5000/web:2".into() };
        assert_eq!(image("app=r.local:5000/web:2"), one);
        assert_eq!(image("web@sha256:0a").container, None);
        for wrong in ["", "=web", "app="] {
            assert!(wrong.parse::<Image>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn everything_but_the_image_is_kept() {
        let described = json!({
            "taskDefinition": {
                "taskDefinitionArn": "arn", "family": "web", "revision": 3, "status": "ACTIVE",
                "requiresAttributes": [{"name": "x"}], "compatibilities": ["EC2"],
                "registeredAt": 1.5, "registeredBy": "root", "volumes": [{"name": "v"}],
                "containerDefinitions": [{"name": "app", "image": "web:1", "memory": 64},
                                         {"name": "log", "image": "log:1"}],
            },
            "tags": [{"key": "team", "value": "shop"}],
        });
        let mut document = registrable(described);
        change_images(&mut document, &[image("app=web:2")]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            document,
            json!({
                "family": "web", "volumes": [{"name": "v"}],
                "containerDefinitions": [{"name": "app", "image": "web:2", "memory": 64},
                                         {"name": "log", "image": "log:1"}],
                "tags": [{"key": "team", "value": "shop"}],
            })
        );
        let told = |given: &str| {
            let mut document = document.clone();
            change_images(&mut document, &[image(given)]).map_err(|error| error.to_string())
        };
        assert!(told("web=web:2").is_err_and(|told| told.ends_with("it has app, log")));
        assert!(told("web:2").is_err_and(|told| told.contains("--image CONTAINER=web:2")));
    }

    #[test]
    fn files_are_told_from_families() {
        for (given, expected) in [
            ("web.json", true),
            ("./web", true),
            ("web", false),
            ("web:41", false),
            ("arn:aws:ecs:us-east-1:000000000000:task-definition/web:41", false),
        ] {
            assert_eq!(is_file(given), expected, "{given}");
        }
    }
}
