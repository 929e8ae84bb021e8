//! The operations that are built, each with its handler.

mod lookup;

use shapes_cloudtrail::operations::LookupEvents;
use wire::{Service, ServiceError};

use crate::Trail;

/// The service with every operation that is built.
pub(crate) fn service(trail: &Trail) -> Service {
    let trail = trail.clone();
    Service::new(&shapes_cloudtrail::SERVICE).on::<LookupEvents, _, _>(move |context, input| {
        let trail = trail.clone();
        async move { lookup::events(&trail, context, input).await.map_err(ServiceError::from) }
    })
}
