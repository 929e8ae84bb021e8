//! ListClusters.

use std::ops::Bound;

use shapes_ecs as shapes;
use terms::ClusterName;
use wire::Context;

use super::super::{Api, page::Page, target};
use crate::error::Error;
use crate::model::ClusterStatus;

impl Api {
    /// Lists the ARNs of clusters that were not deleted, by name.
    pub(crate) async fn list_clusters(
        &self,
        context: Context,
        input: shapes::ListClustersRequest,
    ) -> Result<shapes::ListClustersResponse, Error> {
        let scope = target::scope(&context);
        let page = Page::open("ListClusters", &(), input.max_results, input.next_token.as_deref())?;
        let snapshot = self.ledger.snapshot();
        let after: Option<ClusterName> = page.after_as()?;
        let rows = match after {
            None => snapshot.prefix(&self.tables.clusters, &scope),
            Some(name) => {
                let after = Bound::Excluded(scope.cluster(name));
                snapshot.range(&self.tables.clusters, (after, Bound::Unbounded))
            }
        };
        let rows = rows.take_while(|(key, _)| key.scope == scope);
        let active = rows.filter(|(_, row)| row.status == ClusterStatus::Active);
        let (keys, next_token) = page.take(active.map(|(key, _)| key), |key| key.name.to_string());
        Ok(shapes::ListClustersResponse {
            cluster_arns: Some(keys.iter().map(|key| key.arn().to_string()).collect()),
            next_token,
        })
    }
}
