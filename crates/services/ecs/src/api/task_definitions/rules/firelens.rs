//! FireLens: a container that takes the output of the others (ECS semantics §3.4).

use shapes_ecs as shapes;

use super::names::{arn, invalid_arn};
use super::task::Task;
use crate::error::Error;

/// What a router's configuration may say; agents know no other option.
const OPTIONS: [&str; 3] = ["enable-ecs-log-metadata", "config-file-type", "config-file-value"];

/// Checks the router and those who send to it. The texts of one without the other were observed.
pub(super) fn check(task: &Task<'_>) -> Result<(), Error> {
    let is_user = |one: &shapes::ContainerDefinition| {
        let logs = one.log_configuration.as_ref();
        logs.is_some_and(|logs| logs.log_driver == shapes::LogDriver::Awsfirelens)
    };
    let used = task.containers().iter().any(is_user);
    let mut routers = task.containers().iter().filter_map(|one| {
        let configuration = one.firelens_configuration.as_ref()?;
        Some((one, configuration))
    });
    let (first, second) = (routers.next(), routers.next());
    let Some((container, configuration)) = first else {
        if used {
            return Err(Error::client(
                "When awsfirelens log driver is specified in log configuration, a firelens \
                 configuration object must be configured in one of the containers.",
            ));
        }
        return Ok(());
    };
    if second.is_some() {
        return Err(Error::client(
            "Only one container of a task definition can have a firelens configuration object.",
        ));
    }
    if !used {
        return Err(Error::client(
            "When a firelensConfiguration object is specified, at least one container has to be \
             configured with the awsfirelens log driver.",
        ));
    }
    if is_user(container) {
        return Err(Error::client(
            "The container with the firelens configuration object cannot use the awsfirelens log \
             driver itself.",
        ));
    }
    options(configuration)
}

fn options(configuration: &shapes::FirelensConfiguration) -> Result<(), Error> {
    let Some(options) = &configuration.options else { return Ok(()) };
    if let Some(unknown) = options.keys().find(|name| !OPTIONS.contains(&name.as_str())) {
        return Err(Error::client(format!("Invalid firelens configuration option: {unknown}")));
    }
    let get = |name: &str| options.get(name).map(String::as_str);
    if get("enable-ecs-log-metadata").is_some_and(|word| !matches!(word, "true" | "false")) {
        let text = "The firelens option 'enable-ecs-log-metadata' must be true or false.";
        return Err(Error::client(text));
    }
    match (get("config-file-type"), get("config-file-value")) {
        (None, None) => Ok(()),
        (Some("file"), Some(path)) if !path.is_empty() => Ok(()),
        (Some("s3"), Some(object)) => match arn(object) {
            Some([_, "s3", .., object]) if object.contains('/') => Ok(()),
            _ => Err(invalid_arn()),
        },
        _ => Err(Error::client(
            "The firelens option 'config-file-type' must be s3 or file, and needs \
             'config-file-value'.",
        )),
    }
}
