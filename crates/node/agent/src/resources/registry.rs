//! User name and password for a registry, from a secret (`repositoryCredentials`).

use agent_protocol::task::Container;
use runtime::images::RegistryAuth;
use serde::Deserialize;

use super::reference::SecretReference;
use super::role::Role;
use super::secrets;

#[derive(Deserialize)]
struct User {
    #[serde(default, alias = "Username")]
    username: String,
    #[serde(default, alias = "Password")]
    password: String,
}

/// The credentials that the container names. The texts are those of Amazon's agent.
pub(super) async fn fetch(role: &Role<'_>, container: &Container) -> Result<RegistryAuth, String> {
    let auth = container.registry_authentication.as_ref();
    let data = auth.and_then(|auth| auth.asm_auth_data.as_ref());
    let data = data.ok_or("no secret is named for the registry")?;
    let secret = data.credentials_parameter.clone();
    // A name will do as well as an ARN.
    let wanted = SecretReference { secret, stage: None, version: None, key: None };
    let text = secrets::secret(role, &data.region, &wanted).await?;
    read(&text)
}

fn read(text: &str) -> Result<RegistryAuth, String> {
    if text.is_empty() {
        return Err("asm fetching authorization data: empty secrets value".to_owned());
    }
    // What a parser says of the text may quote it.
    let user: User = serde_json::from_str(text).map_err(|_| {
        "asm fetching authorization data: unable to unmarshal secret value, invalid schema"
            .to_owned()
    })?;
    let User { username, password } = user;
    for (name, value) in [("username", &username), ("password", &password)] {
        if value.is_empty() {
            return Err(format!(
                "asm fetching {name}: AuthorizationData is malformed, empty field"
            ));
        }
    }
    Ok(RegistryAuth::Basic { username, password })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read() {
        let basic = |username: &str, password: &str| RegistryAuth::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        let read_as = |text| read(text).unwrap();
        assert_eq!(read_as(r#"{"username":"u","password":"p","more":1}"#), basic("u", "p"));
        let check = |text: &str, expected: &str| {
            let told = read(text).unwrap_err();
            assert!(told.contains(expected) && !told.contains("sesame"), "{told}");
        };
        check("", "empty secrets value");
        check("sesame", "invalid schema");
        check(r#"{"password":"sesame"}"#, "asm fetching username");
        check(r#"{"username":"u","password":""}"#, "asm fetching password");
    }
}
