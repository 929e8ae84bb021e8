//! A log driver's part in the creation of a container.

use runtime::{ContainerSpec, Image};

use super::{Wanted, firelens};
use crate::effects::Tools;
use crate::engine::{Creation, Failure};
use crate::fargate::cluster_of;

impl Tools {
    /// What a router of FireLens has besides other containers.
    pub(crate) async fn route(
        &self,
        creation: &Creation,
        spec: &mut ContainerSpec,
    ) -> Result<(), Failure> {
        let task = &creation.task;
        let definition = &task.containers[creation.container.index];
        let Some(router) = firelens::router(definition) else { return Ok(()) };
        let folder = self.logs.router_folder(&task.arn.id.to_string());
        let fetched = self.resources.of(task, creation.container.index).await?;
        let external = fetched.router_configuration.as_deref();
        let cluster = cluster_of(task, &self.cluster);
        let written = firelens::write(task, definition, cluster, &folder, external).await;
        written.map_err(|error| {
            let what = format!("unable to generate firelens config file: {error}");
            Failure::new("ResourceInitializationError", what)
        })?;
        self.logs.routes(&creation.id);
        spec.mounts.extend(firelens::mounts(router, &folder, external.is_some()));
        Ok(())
    }

    /// Settles what becomes of a container's output; answers what its driver is to remember, if it
    /// sends output somewhere.
    pub(crate) fn log_driver(
        &self,
        creation: &Creation,
        image: &Image,
        spec: &mut ContainerSpec,
    ) -> Result<Option<Wanted>, Failure> {
        let task = &creation.task;
        let definition = &task.containers[creation.container.index];
        let routers = self.logs.router_folder(&task.arn.id.to_string());
        let image_id = image.config_digest.to_string();
        let wanted = Wanted::of(task, definition, (spec, &image_id), &routers);
        let plan = wanted.plan();
        let plan = plan.map_err(|error| Failure::new("CannotCreateContainerError", error))?;
        spec.logs = plan.keep;
        Ok(plan.shipping.map(|_| wanted))
    }
}
