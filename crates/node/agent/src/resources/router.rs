//! What the configuration of a router of FireLens includes from S3 (`config-file-type: s3`).

use agent_protocol::task::Container;

use super::reference::object;
use super::role::Role;
use crate::logs::firelens;

/// The most bytes of a configuration.
const CONFIGURATION_MAX_BYTES: usize = 1024 * 1024;

/// The object that a container's configuration names, if it does. The texts are those of Amazon's
/// agent.
pub(super) async fn fetch(
    role: &Role<'_>,
    region: &str,
    container: &Container,
) -> Result<Option<Vec<u8>>, String> {
    let Some(arn) = firelens::s3_configuration(container) else { return Ok(None) };
    let (bucket, key) =
        object(arn).ok_or_else(|| format!("unable to parse bucket and key from s3 arn {arn}"))?;
    let bytes = role.object(region, (bucket, key), CONFIGURATION_MAX_BYTES).await;
    bytes.map(Some).map_err(|error| {
        format!("unable to download s3 config {key} from bucket {bucket}: {error}")
    })
}
