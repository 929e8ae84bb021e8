//! Log groups as targets of events: each event is one line of the stream that belongs to the
//! rule's target.

use std::sync::Arc;

use async_trait::async_trait;
use events::{Delivery, Failure, Scope, Target};

use super::error::Error;
use super::{Logs, of_identifier};

/// Takes events into log groups.
#[derive(Clone, Debug)]
pub struct LogTarget(Logs);

impl LogTarget {
    /// Over these logs.
    pub fn new(logs: Logs) -> Self {
        Self(logs)
    }
}

#[async_trait]
impl Target for LogTarget {
    fn takes(&self, arn: &str) -> bool {
        arn.starts_with("arn:aws:logs:") && arn.contains(":log-group:")
    }

    fn check(&self, target: &events::shapes::Target) -> Result<(), (String, String)> {
        match scope_of(&target.arn) {
            Some(_) => Ok(()),
            None => {
                let text = format!("Parameter {} is not valid.", target.arn);
                Err(("ValidationException".to_owned(), text))
            }
        }
    }

    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        let outcome = self.write(deliveries).await.map_err(|error| match error {
            Error::NoGroup => Failure::lasting("ResourceNotFoundException", error.to_string()),
            error => Failure::passing("ServiceUnavailableException", error.to_string()),
        });
        vec![outcome; deliveries.len()]
    }
}

impl LogTarget {
    async fn write(&self, deliveries: &[Delivery]) -> Result<(), Error> {
        let Some(first) = deliveries.first() else { return Ok(()) };
        let scope = scope_of(first.arn()).ok_or(Error::NoGroup)?;
        let group = self.0.group(&scope, of_identifier(first.arn()))?.id;
        let name = stream_name(&first.rule_arn, &first.target.id);
        let now = self.0.ledger.clock().now().millis();
        // Empty lines are none.
        let lines: Vec<(i64, String)> = deliveries
            .iter()
            .filter(|delivery| !delivery.payload.is_empty())
            .map(|delivery| (delivery.time.millis().max(0), delivery.payload.clone()))
            .collect();
        let live = Arc::clone(&self.0.live);
        self.0
            .on_files(move |store| {
                let lines: Vec<(i64, &str)> =
                    lines.iter().map(|(at, line)| (*at, line.as_str())).collect();
                if !store.append(&group, &name, &lines, now)? {
                    store.create(&group, &name, now)?;
                    store.append(&group, &name, &lines, now)?;
                }
                live.offer(&group, &name, &lines, now);
                Ok(())
            })
            .await
    }
}

/// Account and region of an ARN.
fn scope_of(arn: &str) -> Option<Scope> {
    let mut parts = arn.split(':').skip(3);
    let (region, account) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Scope { account, region })
}

/// A UUID, as EventBridge names its streams; the same for one target always.
fn stream_name(rule: &str, target: &str) -> String {
    let hash = |seed: u64| {
        // FNV-1a, for it is the same in every build.
        let bytes = rule.bytes().chain([0]).chain(target.bytes());
        bytes.fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    let (high, low) = (hash(0xcbf2_9ce4_8422_2325), hash(0x9e37_79b9_7f4a_7c15));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    terms::Uuid::from_random(bytes).to_string()
}
