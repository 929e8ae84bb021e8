//! The Parameter Store of Systems Manager (reference: Systems Manager API, "Parameter Store"), and
//! what its clients ask of sessions of ECS Exec.

mod describe;
mod error;
mod filter;
mod labels;
mod model;
mod name;
mod policies;
mod put;
mod read;
mod reference;
mod remove;
mod sessions;
mod show;
mod tags;

use ledger::{Row, View};
use shapes_ssm as shapes;
use shapes_ssm::operations as ops;
use terms::Timestamp;
use wire::{Service, ServiceError};

use crate::{Scope, Secrets, Tables};
use error::Error;
use name::{Reference, Selector};

pub(crate) use error::not_stored;
pub(crate) use model::{Parameter, ParameterVersion};
pub(crate) use remove::remove;
pub use sessions::{CommandSessions, Resumed};

/// Adds handlers: the operation, then the method of [`Secrets`] that answers it.
macro_rules! operations {
    ($room:ident, $service:expr, $($operation:ident => $handler:ident;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let room = $room.clone();
            move |context, input| {
                let room = room.clone();
                async move { room.$handler(context, input).await.map_err(ServiceError::from) }
            }
        }))*
    };
}

/// The service with every operation that is built.
pub(crate) fn service(room: &Secrets) -> Service {
    operations! { room, Service::new(&shapes::SERVICE),
        AddTagsToResource => add_tags_to_resource;
        DeleteParameter => delete_parameter;
        DeleteParameters => delete_parameters;
        DescribeParameters => describe_parameters;
        GetParameter => get_parameter;
        GetParameterHistory => get_parameter_history;
        GetParameters => get_parameters;
        GetParametersByPath => get_parameters_by_path;
        LabelParameterVersion => label_parameter_version;
        ListTagsForResource => list_parameter_tags;
        PutParameter => put_parameter;
        RemoveTagsFromResource => remove_tags_from_resource;
        ResumeSession => resume_session;
        TerminateSession => terminate_session;
        UnlabelParameterVersion => unlabel_parameter_version;
    }
}

/// The parameter of one of these names.
fn find(
    tables: &Tables,
    view: &impl View,
    scope: &Scope,
    names: &[String],
    now: Timestamp,
) -> Result<(String, Row<Parameter>), Error> {
    let mut found = names.iter().filter_map(|name| {
        let row = view.get(&tables.parameters, &(scope.clone(), name.clone()))?;
        (!row.is_over(now)).then(|| (name.clone(), row))
    });
    found.next().ok_or(Error::NotFound)
}

/// A version of a parameter: the selected one, else the newest.
fn version(
    tables: &Tables,
    view: &impl View,
    (scope, name, parameter): (&Scope, &str, &Parameter),
    selector: Option<&Selector>,
) -> Result<(u64, Row<ParameterVersion>), Error> {
    let missing = |version: &dyn std::fmt::Display| Error::NoVersion {
        version: version.to_string(),
        name: name.to_owned(),
    };
    let number = match selector {
        None => parameter.newest,
        Some(Selector::Version(number)) => *number,
        Some(Selector::Label(label)) => {
            *parameter.labels.get(label).ok_or_else(|| missing(label))?
        }
    };
    let key = (scope.clone(), name.to_owned(), number);
    let row = view.get(&tables.parameter_versions, &key).ok_or_else(|| missing(&number))?;
    Ok((number, row))
}

/// What a request's text names: the parameter and the version.
fn resolve(
    tables: &Tables,
    view: &impl View,
    scope: &Scope,
    reference: &Reference,
    now: Timestamp,
) -> Result<(String, Row<Parameter>, u64, Row<ParameterVersion>), Error> {
    let (name, parameter) = find(tables, view, scope, &reference.names, now)?;
    let selector = reference.selector.as_ref();
    let (number, row) = version(tables, view, (scope, &name, &parameter), selector)?;
    Ok((name, parameter, number, row))
}
