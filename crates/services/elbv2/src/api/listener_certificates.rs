//! Certificates that a listener has beside the first one: clients get them that ask for a name of
//! theirs.

use std::collections::BTreeSet;

use ledger::View;
use shapes_elbv2 as shapes;
use wire::Context;

use super::paging::page;
use super::{limits, scope, security};
use crate::Inner;
use crate::arn;
use crate::error::{Error, Kind, Limit};
use crate::model::{Listener, Secure};
use crate::tables::ListenerKey;

impl Inner {
    /// Adds a certificate; one that is there stays.
    pub(super) async fn add_listener_certificates(
        &self,
        context: Context,
        input: shapes::AddListenerCertificatesInput,
    ) -> Result<shapes::AddListenerCertificatesOutput, Error> {
        let key = arn::listener(&scope(&context), &input.listener_arn)?;
        let wanted = only(&input.certificates)?;
        let done = self.ledger.transact("add listener certificate", |tx| {
            self.check_certificate(tx, &key.0, &wanted)?;
            let (row, mut secure) = self.secure(tx, &key)?;
            if !secure.more.contains(&wanted) {
                secure.more.push(wanted.clone());
            }
            let of = (key.0.clone(), key.1.clone());
            let others = tx.prefix(&self.tables.listeners, &of).filter(|(other, _)| *other != key);
            let others: usize = others.map(|(_, row)| added(row.secure.as_ref())).sum();
            let max = limits::CERTIFICATES;
            if others + added(Some(&secure)) > max {
                let text = format!("At most {max} certificates are allowed per load balancer");
                return Err(Error::too_many(Limit::Certificates, text));
            }
            tx.put(&self.tables.listeners, key.clone(), Listener { secure: Some(secure), ..row });
            Ok(())
        });
        done.await?;
        let shown = shapes::Certificate { certificate_arn: Some(wanted), is_default: Some(false) };
        Ok(shapes::AddListenerCertificatesOutput { certificates: Some(vec![shown]) })
    }

    /// Takes a certificate away that was added.
    pub(super) async fn remove_listener_certificates(
        &self,
        context: Context,
        input: shapes::RemoveListenerCertificatesInput,
    ) -> Result<shapes::RemoveListenerCertificatesOutput, Error> {
        let key = arn::listener(&scope(&context), &input.listener_arn)?;
        let wanted = only(&input.certificates)?;
        let done = self.ledger.transact("remove listener certificate", |tx| {
            let (row, mut secure) = self.secure(tx, &key)?;
            if !secure.more.contains(&wanted) && secure.certificate == wanted {
                return Err(Error::NotPermitted(
                    "The default certificate of a listener cannot be removed".to_owned(),
                ));
            }
            secure.more.retain(|arn| *arn != wanted);
            tx.put(&self.tables.listeners, key.clone(), Listener { secure: Some(secure), ..row });
            Ok(())
        });
        done.await?;
        Ok(shapes::RemoveListenerCertificatesOutput {})
    }

    /// Lists a listener's certificates: the default one first, and once more if it was added too.
    pub(super) async fn describe_listener_certificates(
        &self,
        context: Context,
        input: shapes::DescribeListenerCertificatesInput,
    ) -> Result<shapes::DescribeListenerCertificatesOutput, Error> {
        let key = arn::listener(&scope(&context), &input.listener_arn)?;
        let row = self.ledger.snapshot().get(&self.tables.listeners, &key);
        let row = row.ok_or(Error::NotFound(Kind::Listener))?;
        let show = |arn: &String, is_default| shapes::Certificate {
            certificate_arn: Some(arn.clone()),
            is_default: Some(is_default),
        };
        let mut found = Vec::new();
        if let Some(secure) = &row.secure {
            found.push(show(&secure.certificate, true));
            found.extend(secure.more.iter().map(|arn| show(arn, false)));
        }
        let name = |shown: &shapes::Certificate| {
            format!("{:?} {:?}", shown.is_default, shown.certificate_arn)
        };
        let (shown, next_marker) = page(found, name, input.page_size, input.marker.as_deref())?;
        Ok(shapes::DescribeListenerCertificatesOutput { certificates: Some(shown), next_marker })
    }

    /// A listener with what it has for TLS.
    fn secure(&self, view: &impl View, key: &ListenerKey) -> Result<(Listener, Secure), Error> {
        let row = view.get(&self.tables.listeners, key);
        let row = row.ok_or(Error::NotFound(Kind::Listener))?;
        let secure = row.secure.clone().ok_or_else(|| {
            Error::Configuration("Certificates cannot be specified for HTTP listeners".to_owned())
        })?;
        Ok((Listener::clone(&row), secure))
    }
}

/// How many certificates a listener has but the default one.
fn added(secure: Option<&Secure>) -> usize {
    let more = secure.map(|secure| {
        let others = secure.more.iter().filter(|arn| **arn != secure.certificate);
        others.collect::<BTreeSet<_>>().len()
    });
    more.unwrap_or_default()
}

/// A call names one certificate.
fn only(certificates: &[shapes::Certificate]) -> Result<String, Error> {
    match certificates {
        [only] => security::one(only),
        _ => Err(Error::invalid("You must specify exactly one certificate")),
    }
}
