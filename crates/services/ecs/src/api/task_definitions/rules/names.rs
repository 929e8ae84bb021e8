//! Names of families, containers and volumes, images, ARNs.

use terms::Family;

use crate::error::Error;

/// Longest name of a family, container or volume, in characters.
const MAX_NAME_CHARS: usize = 255;
/// Longest image name but for its digest, in characters.
const MAX_IMAGE_CHARS: usize = 255;
/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// Checks a name and gives it back; `what` is how ECS calls it: `Container.name`.
pub(super) fn name<'a>(what: &str, name: Option<&'a str>) -> Result<&'a str, Error> {
    let name = name.unwrap_or("");
    if name.is_empty() {
        return Err(Error::client(format!("{what} should not be null or empty.")));
    }
    // Observed for `Container.name` (ansible/ansible issue 22860) and `Family`.
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(Error::client(format!("{what} contains invalid characters.")));
    }
    if name.len() > MAX_NAME_CHARS {
        return Err(too_long(what, MAX_NAME_CHARS));
    }
    Ok(name)
}

fn too_long(what: &str, most: usize) -> Error {
    Error::client(format!("{what} can have at most {most} characters."))
}

/// The family that a request names.
pub(super) fn family(text: &str) -> Result<Family, Error> {
    let text = name("Family", Some(text))?;
    text.parse().map_err(|_| Error::client("Family contains invalid characters."))
}

/// Checks an image and gives it back.
pub(super) fn image(image: Option<&str>) -> Result<&str, Error> {
    let image = image.unwrap_or("");
    if image.is_empty() {
        return Err(Error::client("Container.image should not be null or empty."));
    }
    let (reference, digest) = match image.split_once('@') {
        Some((reference, digest)) => (reference, Some(digest)),
        None => (image, None),
    };
    if reference.is_empty() || reference.starts_with(':') {
        // Observed: aws/copilot-cli issue 3455.
        return Err(Error::client("Container.image repository should not be null or empty."));
    }
    let is_good = |b: u8| b.is_ascii_alphanumeric() || b"-_:./#".contains(&b);
    if !reference.bytes().all(is_good) {
        return Err(Error::client("Container.image contains invalid characters."));
    }
    if reference.len() > MAX_IMAGE_CHARS {
        return Err(too_long("Container.image", MAX_IMAGE_CHARS));
    }
    let is_sha256 = |digest: &str| {
        let hex = digest.strip_prefix("sha256:");
        hex.is_some_and(|hex| {
            hex.len() == SHA256_DIGITS && hex.bytes().all(|b| b.is_ascii_hexdigit())
        })
    };
    if digest.is_some_and(|digest| !is_sha256(digest)) {
        let text = "Container.image digest must be sha256: and 64 hexadecimal digits.";
        return Err(Error::client(text));
    }
    Ok(image)
}

/// The parts of an ARN behind `arn:`: partition, service, region, account and resource.
pub(super) fn arn(text: &str) -> Option<[&str; 5]> {
    let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
    let mut next = || parts.next();
    let parts = [next()?, next()?, next()?, next()?, next()?];
    let [partition, service, .., resource] = parts;
    (!partition.is_empty() && !service.is_empty() && !resource.is_empty()).then_some(parts)
}

/// A text that should have been an ARN (observed for environment files).
pub(super) fn invalid_arn() -> Error {
    Error::client("Invalid arn syntax.")
}

/// A role: its ARN, or its bare name.
///
/// ECS also refuses roles of other accounts. They are let through here: definitions brought from
/// an account of AWS name its roles, and the account of a server is often a made-up one.
pub(crate) fn role(text: Option<&str>) -> Result<(), Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(()) };
    let is_name = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@-_/".contains(&b))
    };
    let good = match arn(text) {
        Some([_, service, "", account, resource]) => {
            let name = resource.strip_prefix("role/");
            service == "iam" && !account.is_empty() && name.is_some_and(is_name)
        }
        Some(_) => false,
        None => is_name(text),
    };
    // Observed: fabfuel/ecs-deploy issue 231.
    good.then_some(()).ok_or_else(|| Error::client("Role is not valid"))
}
