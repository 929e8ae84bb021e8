//! ListServices and ListServicesByNamespace.

use ledger::Row;
use shapes_ecs as shapes;
use terms::ServiceName;
use wire::Context;

use super::super::{Api, page::Page, target};
use crate::error::Error;
use crate::model::{CapacityChoice, Service, ServiceStatus};
use crate::tables::ClusterKey;

/// How many services a page has if the request does not say (ECS semantics §1.1).
const USUAL_ITEMS: i32 = 10;

/// The filters of a request.
#[derive(Debug)]
struct Filters {
    cluster: ClusterKey,
    launch_type: Option<shapes::LaunchType>,
    scheduling: Option<shapes::SchedulingStrategy>,
    managed: Option<shapes::ResourceManagementType>,
}

impl Filters {
    fn allow(&self, row: &Service) -> bool {
        let has_type = |wanted: shapes::LaunchType| match &row.capacity {
            CapacityChoice::LaunchType(text) => text == wanted.as_str(),
            CapacityChoice::Strategy(_) => false,
        };
        // Whatever is managed by ECS is an Express Gateway service: there are none.
        let is_ours = self.managed != Some(shapes::ResourceManagementType::Ecs);
        let has_strategy =
            self.scheduling.is_none_or(|wanted| wanted.as_str() == row.scheduling.as_str());
        is_ours && has_strategy && self.launch_type.is_none_or(has_type)
    }
}

impl Api {
    /// Lists the ARNs of the ACTIVE services of a cluster, by name.
    pub(crate) async fn list_services(
        &self,
        context: Context,
        input: shapes::ListServicesRequest,
    ) -> Result<shapes::ListServicesResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        let filters = Filters {
            cluster,
            launch_type: input.launch_type,
            scheduling: input.scheduling_strategy,
            managed: input.resource_management_type,
        };
        let (max, token) = (input.max_results, input.next_token.as_deref());
        let page = Page::open_usually(USUAL_ITEMS, "ListServices", &filters, max, token)?;
        let after: Option<ServiceName> = page.after_as()?;
        let after = after.map(|name| (filters.cluster.clone(), name));
        let active = (filters.cluster.clone(), ServiceStatus::Active);
        let index = &self.tables.services.by_status;
        let rows = snapshot.index_after(index, &active, after.as_ref());
        let wanted = rows.filter(|(_, row): &(_, Row<Service>)| filters.allow(row));
        let name = |row: &Row<Service>| row.arn.name.to_string();
        let (rows, next_token) = page.take(wanted.map(|(_, row)| row), name);
        let arns = rows.iter().map(|row| row.arn.to_string()).collect();
        Ok(shapes::ListServicesResponse { service_arns: Some(arns), next_token })
    }

    /// Lists the services of a namespace: there are no namespaces yet, so none is found.
    pub(crate) async fn list_services_by_namespace(
        &self,
        _: Context,
        _: shapes::ListServicesByNamespaceRequest,
    ) -> Result<shapes::ListServicesByNamespaceResponse, Error> {
        Err(Error::NamespaceNotFound)
    }
}
