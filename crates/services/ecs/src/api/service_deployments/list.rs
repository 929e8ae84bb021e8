//! ListServiceDeployments.

use std::cmp::Reverse;

use ledger::Row;
use shapes_ecs as shapes;
use terms::Timestamp;
use wire::Context;

use super::super::page::Page;
use super::super::{Api, services, target};
use super::show;
use crate::error::Error;
use crate::model::{Deployment, ServiceStatus};
use crate::tables::ServiceKey;

/// How many a page has if the request does not say (ECS semantics §1.1).
const USUAL_ITEMS: i32 = 20;

/// The filters of a request.
#[derive(Debug)]
struct Filters {
    service: ServiceKey,
    status: Vec<String>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Filters {
    fn allow(&self, row: &Deployment) -> bool {
        let status = row.progress.as_str();
        (self.status.is_empty() || self.status.iter().any(|one| one == status))
            && self.after.is_none_or(|after| row.created_at >= after)
            && self.before.is_none_or(|before| row.created_at <= before)
    }
}

impl Api {
    /// Lists the deployments of a service, the newest first.
    pub(crate) async fn list_service_deployments(
        &self,
        context: Context,
        input: shapes::ListServiceDeploymentsRequest,
    ) -> Result<shapes::ListServiceDeploymentsResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let (snapshot, tables) = (self.ledger.snapshot(), &self.tables);
        let (service, row) = services::find(&snapshot, tables, &cluster, &input.service)?;
        if row.status == ServiceStatus::Inactive {
            return Err(Error::invalid(
                "Cannot call ListServiceDeployments for a service that is INACTIVE",
            ));
        }
        let created = input.created_at.unwrap_or_default();
        let status = input.status.unwrap_or_default();
        let filters = Filters {
            service,
            status: status.into_iter().map(|one| one.as_str().to_owned()).collect(),
            after: created.after,
            before: created.before,
        };
        let (max, token) = (input.max_results, input.next_token.as_deref());
        let page = Page::open_usually(USUAL_ITEMS, "ListServiceDeployments", &filters, max, token)?;
        let rows = snapshot.prefix(&tables.services.deployments, &filters.service);
        let mut rows: Vec<Row<Deployment>> =
            rows.map(|(_, row)| row).filter(|row| filters.allow(row)).collect();
        rows.sort_by_key(order);
        // The page before ended with this one, which may be gone since.
        let after: Option<Place> = page.after_as()?;
        let rest = rows.into_iter().filter(|row| after.is_none_or(|after| order(row) > after.0));
        let (rows, next_token) = page.take(rest, |row| Place(order(row)).to_string());
        let shown = rows.iter().map(|row| show::brief(&filters.service, row)).collect();
        Ok(shapes::ListServiceDeploymentsResponse { service_deployments: Some(shown), next_token })
    }
}

/// Where a deployment stands in the list.
fn order(row: &Row<Deployment>) -> (Reverse<i64>, u64) {
    (Reverse(row.created_at.millis()), row.id.digits())
}

/// The same, as a token has it.
#[derive(Clone, Copy)]
struct Place((Reverse<i64>, u64));

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self((Reverse(time), id)) = self;
        write!(f, "{time} {id}")
    }
}

impl std::str::FromStr for Place {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (time, id) = text.split_once(' ').unwrap_or_default();
        Ok(Self((Reverse(time.parse()?), id.parse()?)))
    }
}
