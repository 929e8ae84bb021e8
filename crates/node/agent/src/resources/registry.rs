//! User name and password for a registry: from a secret (`repositoryCredentials`), or ECR's own.

use agent_protocol::task::{Container, EcrAuthData};
use data_encoding::BASE64;
use runtime::images::RegistryAuth;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reference::SecretReference;
use super::role::Role;
use super::secrets;

/// ECR's name in signatures, and the operation.
const TOKEN: (&str, &str) = ("ecr", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");

#[derive(Deserialize)]
struct User {
    #[serde(default, alias = "Username")]
    username: String,
    #[serde(default, alias = "Password")]
    password: String,
}

/// The right to pull from a registry of ECR's (`GetAuthorizationToken`): a user and a password, in base64.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    authorization_data: Vec<Grant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Grant {
    authorization_token: String,
    proxy_endpoint: Option<String>,
}

/// The credentials that the container names. The texts are those of Amazon's agent.
pub(super) async fn fetch(role: &Role<'_>, container: &Container) -> Result<RegistryAuth, String> {
    let auth = container.registry_authentication.as_ref();
    if let Some(ecr) = auth.and_then(|auth| auth.ecr_auth_data.as_ref()) {
        return of_ecr(role, ecr, &container.image).await;
    }
    let data = auth.and_then(|auth| auth.asm_auth_data.as_ref());
    let data = data.ok_or("no secret is named for the registry")?;
    let secret = data.credentials_parameter.clone();
    // A name will do as well as an ARN.
    let wanted = SecretReference { secret, stage: None, version: None, key: None };
    let text = secrets::secret(role, &data.region, &wanted).await?;
    read(&text)
}

async fn of_ecr(role: &Role<'_>, ecr: &EcrAuthData, image: &str) -> Result<RegistryAuth, String> {
    let named = &ecr.endpoint_override;
    // Amazon's agent takes a host alone, too.
    let endpoint = match named.contains("://") {
        true => named.clone(),
        false => format!("https://{named}"),
    };
    let input = json!({ "registryIds": [ecr.registry_id] });
    let answer = role.call_at(&endpoint, &ecr.region, TOKEN, &input).await;
    let answer = answer
        .map_err(|error| format!("unable to retrieve ecr registry auth from {named}: {error}"))?;
    let (auth, place) = grant(answer)?;
    placed(auth, place.as_deref(), &endpoint, image)
}

/// The credentials for where the registry is: at the image's own host, or else where whoever gave
/// them says. Without TLS only to the host that was asked for them without TLS.
fn placed(
    auth: RegistryAuth,
    place: Option<&str>,
    asked: &str,
    image: &str,
) -> Result<RegistryAuth, String> {
    let host = image.split('/').next().unwrap_or_default();
    let (Some(place), RegistryAuth::Basic { username, password }) = (place, &auth) else {
        return Ok(auth);
    };
    let (scheme, named) = place.split_once("://").unwrap_or(("https", place));
    let named = named.trim_end_matches('/');
    if named == host {
        return Ok(auth);
    }
    let is_asked =
        asked.split_once("://").is_some_and(|(_, asked)| asked.trim_end_matches('/') == named);
    if scheme != "https" && !is_asked {
        return Err(format!("the registry is said to be at {place}, without TLS"));
    }
    let (username, password) = (username.clone(), password.clone());
    Ok(RegistryAuth::At { url: format!("{scheme}://{named}"), username, password })
}

/// The credentials, and where they are good.
fn grant(answer: Value) -> Result<(RegistryAuth, Option<String>), String> {
    // What a parser says of the answer may quote it.
    let malformed =
        || "unable to retrieve ecr registry auth: malformed authorization data".to_owned();
    let granted: Granted = serde_json::from_value(answer).map_err(|_| malformed())?;
    let token = granted.authorization_data.into_iter().next().ok_or_else(malformed)?;
    let text = BASE64.decode(token.authorization_token.as_bytes()).map_err(|_| malformed())?;
    let text = String::from_utf8(text).map_err(|_| malformed())?;
    let (username, password) = text.split_once(':').ok_or_else(malformed)?;
    let (username, password) = (username.to_owned(), password.to_owned());
    Ok((RegistryAuth::Basic { username, password }, token.proxy_endpoint))
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

    #[test]
    fn grants_are_read() {
        let of = |token: &str| {
            let data = json!({"authorizationToken": token, "proxyEndpoint": "https://x", "expiresAt": 1.0});
            grant(json!({"authorizationData": [data]}))
        };
        let basic =
            RegistryAuth::Basic { username: "AWS".to_owned(), password: "ses:ame".to_owned() };
        let place = Some("https://x".to_owned());
        assert_eq!(of(&BASE64.encode(b"AWS:ses:ame")).unwrap(), (basic, place));
        for bad in [of("sesame!"), of(&BASE64.encode(b"sesame")), grant(json!({}))] {
            let told = bad.unwrap_err();
            assert!(told.contains("malformed") && !told.contains("sesame"), "{told}");
        }
    }

    #[test]
    fn registries_are_where_they_are_said_to_be() {
        let (username, password) = ("AWS".to_owned(), "p".to_owned());
        let basic = RegistryAuth::Basic { username: username.clone(), password: password.clone() };
        let at = |url: &str| RegistryAuth::At {
            url: url.to_owned(),
            username: username.clone(),
            password: password.clone(),
        };
        let image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/app:1";
        let of = |place: Option<&str>, asked: &str| placed(basic.clone(), place, asked, image);
        assert_eq!(of(None, "https://x").unwrap(), basic);
        let own = "https://000000000000.dkr.ecr.us-east-1.amazonaws.com";
        assert_eq!(of(Some(own), "https://api.ecr").unwrap(), basic);
        let plain = "http://10.0.0.1:4566";
        assert_eq!(of(Some(plain), plain).unwrap(), at(plain));
        assert_eq!(of(Some("https://r.test/"), plain).unwrap(), at("https://r.test"));
        assert!(of(Some("http://elsewhere.test"), plain).is_err(), "no password without TLS");
    }
}
