//! Listeners.

use ledger::View;
use shapes_elbv2 as shapes;
use wire::Context;

use super::check_actions::actions;
use super::paging::page;
use super::security::Security;
use super::{limits, names, scope, show};
use crate::Inner;
use crate::arn;
use crate::error::{Error, Kind, Limit};
use crate::model::{Listener, Transport};
use crate::tables::{ListenerKey, LoadBalancerKey};

impl Inner {
    /// Makes a listener. One that is there with the same settings is shown.
    pub(super) async fn create_listener(
        &self,
        context: Context,
        input: shapes::CreateListenerInput,
    ) -> Result<shapes::CreateListenerOutput, Error> {
        let operation = "CreateListener";
        let of = arn::load_balancer(&scope(&context), &input.load_balancer_arn)?;
        let port = input.port.ok_or_else(|| Error::invalid("A listener port must be specified"))?;
        let port = read_port(port)?;
        if input.protocol.is_none() {
            return Err(Error::invalid("A listener protocol must be specified"));
        }
        let security = Security {
            operation,
            is_network: arn::is_network(&of.1),
            protocol: input.protocol,
            certificates: input.certificates.as_deref(),
            policy: input.ssl_policy.as_deref(),
            alpn: input.alpn_policy.as_deref(),
            mutual: input.mutual_authentication.as_ref(),
        };
        let secure = security.over(None)?;
        let transport = security.transport(Transport::default());
        let tags = names::tags(input.tags.as_deref().unwrap_or_default())?;
        let default_actions = actions(&input.default_actions, operation)?;
        let done = self.ledger.transact("create listener", |tx| {
            let row = tx.get(&self.tables.load_balancers, &of);
            row.ok_or(Error::NotFound(Kind::LoadBalancer))?;
            if let Some(secure) = &secure {
                self.check_certificate(tx, &of.0, &secure.certificate)?;
            }
            self.check_groups(tx, &of, &default_actions, (secure.is_some(), transport))?;
            if let Some((key, row)) = self.listener_on(tx, &of, port) {
                let is_same = row.default_actions == default_actions
                    && (&row.secure, row.transport) == (&secure, transport);
                return match is_same {
                    true => Ok(show::listener(&key, &row)),
                    false => Err(Error::DuplicateListener(input.load_balancer_arn.clone())),
                };
            }
            let max = limits::LISTENERS;
            if tx.prefix(&self.tables.listeners, &of).count() >= max {
                let text = format!("At most {max} listeners are allowed per load balancer");
                return Err(Error::too_many(Limit::Listeners, text));
            }
            let key = (of.0.clone(), of.1.clone(), names::id(tx.next_id()));
            let row = Listener {
                port,
                default_actions: default_actions.clone(),
                default_rule: names::id(tx.next_id()),
                attributes: Default::default(),
                tags: tags.clone(),
                default_rule_tags: Default::default(),
                secure: secure.clone(),
                transport,
            };
            let shown = show::listener(&key, &row);
            tx.put(&self.tables.listeners, key, row);
            Ok(shown)
        });
        let made = done.await?.value;
        Ok(shapes::CreateListenerOutput { listeners: Some(vec![made]) })
    }

    /// Lists listeners.
    pub(super) async fn describe_listeners(
        &self,
        context: Context,
        input: shapes::DescribeListenersInput,
    ) -> Result<shapes::DescribeListenersOutput, Error> {
        let (scope, snapshot) = (scope(&context), self.ledger.snapshot());
        let arns = input.listener_arns.unwrap_or_default();
        let found = match (input.load_balancer_arn.as_deref(), arns.is_empty()) {
            (Some(of), true) => {
                let key = arn::load_balancer(&scope, of)?;
                let row = snapshot.get(&self.tables.load_balancers, &key);
                row.ok_or(Error::NotFound(Kind::LoadBalancer))?;
                let rows = snapshot.prefix(&self.tables.listeners, &key);
                rows.map(|(key, row)| show::listener(&key, &row)).collect()
            }
            (None, false) => {
                let show = |text: &String| {
                    let key = arn::listener(&scope, text)?;
                    let row = snapshot.get(&self.tables.listeners, &key);
                    let row = row.ok_or(Error::NotFound(Kind::Listener))?;
                    Ok(show::listener(&key, &row))
                };
                arns.iter().map(show).collect::<Result<Vec<_>, Error>>()?
            }
            _ => {
                return Err(Error::invalid(
                    "You must specify either listener ARNs or a load balancer ARN",
                ));
            }
        };
        let name = |shown: &shapes::Listener| shown.listener_arn.clone().unwrap_or_default();
        let (shown, next_marker) = page(found, name, input.page_size, input.marker.as_deref())?;
        Ok(shapes::DescribeListenersOutput { listeners: Some(shown), next_marker })
    }

    /// Changes what is named of a listener.
    pub(super) async fn modify_listener(
        &self,
        context: Context,
        input: shapes::ModifyListenerInput,
    ) -> Result<shapes::ModifyListenerOutput, Error> {
        let operation = "ModifyListener";
        let key = arn::listener(&scope(&context), &input.listener_arn)?;
        let port = input.port.map(read_port).transpose()?;
        let security = Security {
            operation,
            is_network: arn::is_network(&key.1),
            protocol: input.protocol,
            certificates: input.certificates.as_deref(),
            policy: input.ssl_policy.as_deref(),
            alpn: input.alpn_policy.as_deref(),
            mutual: input.mutual_authentication.as_ref(),
        };
        let wanted = input.default_actions.as_deref().filter(|actions| !actions.is_empty());
        let wanted = wanted.map(|wanted| actions(wanted, operation)).transpose()?;
        let done = self.ledger.transact("modify listener", |tx| {
            let row = tx.get(&self.tables.listeners, &key);
            let row = row.ok_or(Error::NotFound(Kind::Listener))?;
            let of = (key.0.clone(), key.1.clone());
            let mut changed = Listener::clone(&row);
            if let Some(port) = port.filter(|port| *port != row.port) {
                if self.listener_on(tx, &of, port).is_some() {
                    let of = arn::of_load_balancer(&of);
                    return Err(Error::DuplicateListener(of));
                }
                changed.port = port;
            }
            changed.secure = security.over(row.secure.as_ref())?;
            if let Some(secure) = &changed.secure {
                self.check_certificate(tx, &of.0, &secure.certificate)?;
            }
            if let Some(wanted) = &wanted {
                changed.default_actions = wanted.clone();
            }
            changed.transport = security.transport(row.transport);
            let carried = (changed.secure.is_some(), changed.transport);
            self.check_groups(tx, &of, &changed.default_actions, carried)?;
            let rules: Vec<_> = tx.prefix(&self.tables.rules, &key).collect();
            for (_, rule) in rules.iter().filter(|_| row.secure.is_some() != carried.0) {
                self.check_groups(tx, &of, &rule.actions, carried)?;
            }
            let shown = show::listener(&key, &changed);
            tx.put(&self.tables.listeners, key.clone(), changed);
            Ok(shown)
        });
        let shown = done.await?.value;
        Ok(shapes::ModifyListenerOutput { listeners: Some(vec![shown]) })
    }

    /// Deletes a listener with its rules.
    pub(super) async fn delete_listener(
        &self,
        context: Context,
        input: shapes::DeleteListenerInput,
    ) -> Result<shapes::DeleteListenerOutput, Error> {
        let key = arn::listener(&scope(&context), &input.listener_arn)?;
        let done = self.ledger.transact("delete listener", |tx| {
            let row = tx.get(&self.tables.listeners, &key);
            row.ok_or(Error::NotFound(Kind::Listener))?;
            self.drop_listener(tx, &key);
            Ok::<_, Error>(())
        });
        done.await?;
        Ok(shapes::DeleteListenerOutput {})
    }

    fn listener_on(
        &self,
        view: &impl View,
        of: &LoadBalancerKey,
        port: u16,
    ) -> Option<(ListenerKey, ledger::Row<Listener>)> {
        view.prefix(&self.tables.listeners, of).find(|(_, row)| row.port == port)
    }
}

fn read_port(port: i32) -> Result<u16, Error> {
    let read = u16::try_from(port).ok().filter(|port| *port > 0);
    read.ok_or_else(|| Error::invalid(format!("Port '{port}' must be between '1-65535' inclusive")))
}
