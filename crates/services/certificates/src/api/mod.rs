//! The operations that are built, each with its handler.

mod import;
mod listing;
mod read;
mod remove;
mod request;
mod show;
mod tags;

use std::sync::Arc;

use shapes_acm as shapes;
use shapes_acm::operations as ops;
use wire::{Context, Service, ServiceError};

use crate::Inner;
use crate::tables::Scope;

/// Most certificates of an account and region (ACM guide, "Quotas").
const CERTIFICATES_MAX: usize = 2500;

/// Adds handlers: the operation, then the method of [`Inner`] that answers it.
macro_rules! operations {
    ($inner:ident, $service:expr, $($operation:ident => $handler:ident;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let inner = Arc::clone($inner);
            move |context, input| {
                let inner = Arc::clone(&inner);
                async move { inner.$handler(context, input).await.map_err(ServiceError::from) }
            }
        }))*
    };
}

/// The service with every operation that is built.
pub(crate) fn service(inner: &Arc<Inner>) -> Service {
    operations! { inner, Service::new(&shapes::SERVICE),
        AddTagsToCertificate => add_tags;
        DeleteCertificate => delete_certificate;
        DescribeCertificate => describe_certificate;
        GetCertificate => get_certificate;
        ImportCertificate => import_certificate;
        ListCertificates => list_certificates;
        ListTagsForCertificate => list_tags;
        RemoveTagsFromCertificate => remove_tags;
        RequestCertificate => request_certificate;
    }
}

fn scope(context: &Context) -> Scope {
    let caller = &context.caller;
    Scope { account: caller.account.clone(), region: caller.region.clone() }
}
