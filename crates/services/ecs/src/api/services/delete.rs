//! DeleteService (ECS semantics §7.11).

use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, target};
use super::{find, show};
use crate::error::Error;
use crate::model::{SchedulingStrategy, Service, ServiceChange, ServiceStatus};

impl Api {
    /// Lets a service drain, and answers it as it is then. One that was deleted before is answered
    /// as it is.
    pub(crate) async fn delete_service(
        &self,
        context: Context,
        input: shapes::DeleteServiceRequest,
    ) -> Result<shapes::DeleteServiceResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let (tables, force) = (self.tables, input.force == Some(true));
        let deleted = self.ledger.transact("delete service", |tx| {
            let (key, row) = find(tx, &tables, &cluster, &input.service)?;
            if row.status != ServiceStatus::Active {
                return Ok(key);
            }
            let scaled = row.scheduling == SchedulingStrategy::Replica && row.desired > 0;
            if scaled && !force {
                // Observed on ECS.
                return Err(Error::invalid(
                    "The service cannot be stopped while it is scaled above 0.",
                ));
            }
            let status = row.status.next(ServiceChange::Deleted).unwrap_or(ServiceStatus::Draining);
            let changed_at = tx.now();
            // Its tags go with it (ECS semantics §2.2).
            let tags = Default::default();
            let gone = Service { status, desired: 0, changed_at, tags, ..Service::clone(&row) };
            tx.put(&tables.services.rows, key.clone(), gone);
            Ok::<_, Error>(key)
        });
        let key = deleted.await?.value;
        let service = Some(show::now(&self.ledger.snapshot(), &tables, &key, false)?);
        Ok(shapes::DeleteServiceResponse { service })
    }
}
