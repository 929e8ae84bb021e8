//! DescribeServices.

use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, arn_of, missing, target};
use super::show;
use crate::error::Error;

/// Most services that one request may describe (ECS semantics §1.1).
const MAX_DESCRIBED: usize = 10;

impl Api {
    /// Describes services, also those that drain or have ended lately; unknown ones are failures.
    pub(crate) async fn describe_services(
        &self,
        context: Context,
        input: shapes::DescribeServicesRequest,
    ) -> Result<shapes::DescribeServicesResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        if input.services.is_empty() {
            return Err(Error::invalid("Services cannot be empty."));
        }
        if input.services.len() > MAX_DESCRIBED {
            let text = format!("Services can have at most {MAX_DESCRIBED} items.");
            return Err(Error::invalid(text));
        }
        let asked = |field: &shapes::ServiceField| *field == shapes::ServiceField::Tags;
        let with_tags = input.include.iter().flatten().any(asked);
        let (mut services, mut failures, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for text in &input.services {
            let key = target::service(&cluster, text)?;
            let row = key.and_then(|key| {
                let row = snapshot.get(&self.tables.services.rows, &key)?;
                Some((key, row))
            });
            match row {
                // A service that is named twice is described once (observed on ECS).
                Some((key, _)) if seen.contains(&key) => {}
                Some((key, row)) => {
                    services.push(show::service(&snapshot, &self.tables, &key, &row, with_tags));
                    seen.push(key);
                }
                None => failures.push(missing(arn_of(&cluster, "service", text))),
            }
        }
        Ok(shapes::DescribeServicesResponse { services: Some(services), failures: Some(failures) })
    }
}
