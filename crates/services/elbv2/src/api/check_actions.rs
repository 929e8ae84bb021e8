//! Actions: checked, completed, and kept as they are shown (API reference, `Action`).

use std::collections::BTreeSet;

use ledger::View;
use shapes_elbv2 as shapes;
use shapes_elbv2::ActionTypeEnum;

use super::limits;
use crate::Inner;
use crate::arn;
use crate::error::{Error, Kind, Limit};
use crate::model::{Actions, Protocol, Transport, Version};
use crate::tables::{GroupKey, LoadBalancerKey};

/// Highest weight of a target group.
const WEIGHT_MAX: i32 = 999;
/// Longest stickiness to a target group, in seconds.
const STICKY_MAX: i32 = 604_800;
/// Longest part of a redirect, in bytes.
const PART_MAX: usize = 128;
/// Longest body of a fixed response, in bytes.
const BODY_MAX: usize = 1024;
/// What fixed responses may be.
const CONTENT_TYPES: [&str; 5] =
    ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

/// The actions of a request as they are stored: exactly one, for those that may stand before it are
/// not built.
pub(super) fn actions(
    wanted: &[shapes::Action],
    operation: &'static str,
) -> Result<Actions, Error> {
    for action in wanted {
        match action.type_ {
            ActionTypeEnum::Forward | ActionTypeEnum::Redirect | ActionTypeEnum::FixedResponse => {}
            other => {
                return Err(Error::not_built(
                    operation,
                    format!("actions of type {}", other.as_str()),
                ));
            }
        }
    }
    match wanted {
        [] => Err(Error::invalid("You must specify at least one action")),
        [action] => Ok(Actions::new(vec![completed(action)?])),
        _ => Err(Error::too_many(
            Limit::Actions,
            "Exactly one forward, redirect or fixed-response action can be specified",
        )),
    }
}

fn completed(action: &shapes::Action) -> Result<shapes::Action, Error> {
    let mut action = action.clone();
    let has = |is: bool| usize::from(is);
    let configs = has(action.forward_config.is_some())
        + has(action.redirect_config.is_some())
        + has(action.fixed_response_config.is_some());
    let wrong = |what: &str| Err(Error::Action(what.to_owned()));
    match action.type_ {
        ActionTypeEnum::Forward => {
            if configs > has(action.forward_config.is_some()) {
                return wrong("A forward action can only have a ForwardConfig");
            }
            forward(&mut action)?;
        }
        ActionTypeEnum::Redirect => {
            let Some(config) = action.redirect_config.take().filter(|_| configs == 1) else {
                return wrong("A redirect action must have a RedirectConfig, and no other");
            };
            action.redirect_config = Some(redirect(config)?);
        }
        _ => {
            let Some(config) = action.fixed_response_config.as_ref().filter(|_| configs == 1)
            else {
                return wrong("A fixed-response action must have a FixedResponseConfig");
            };
            fixed_response(config)?;
        }
    }
    Ok(action)
}

/// One group is shown in both ways, several in the configuration alone.
fn forward(action: &mut shapes::Action) -> Result<(), Error> {
    let mut config = action.forward_config.take().unwrap_or_default();
    let mut groups = config.target_groups.take().unwrap_or_default();
    if let Some(arn) = &action.target_group_arn {
        let own = |group: &shapes::TargetGroupTuple| group.target_group_arn.as_ref() == Some(arn);
        if groups.is_empty() {
            groups.push(shapes::TargetGroupTuple {
                target_group_arn: Some(arn.clone()),
                weight: None,
            });
        } else if groups.len() > 1 || !groups.iter().all(own) {
            return Err(Error::Action(
                "You cannot specify both a target group ARN and a ForwardConfig with other target \
                 groups"
                    .to_owned(),
            ));
        }
    }
    if groups.is_empty() {
        return Err(Error::invalid("You must specify a target group in a forward action"));
    }
    if groups.len() > limits::GROUPS_OF_ACTION {
        let text = format!("At most {} target groups per action", limits::GROUPS_OF_ACTION);
        return Err(Error::Action(text));
    }
    let mut seen = BTreeSet::new();
    for group in &mut groups {
        let weight = *group.weight.get_or_insert(1);
        if !(0..=WEIGHT_MAX).contains(&weight) {
            return Err(Error::invalid(format!(
                "Weight '{weight}' must be between '0-999' inclusive"
            )));
        }
        let arn = group.target_group_arn.clone();
        let arn = arn.ok_or_else(|| Error::invalid("A target group ARN must be specified"))?;
        if !seen.insert(arn.clone()) {
            return Err(Error::invalid(format!(
                "Target group '{arn}' is specified more than once"
            )));
        }
    }
    let sticky = config.target_group_stickiness_config.take().unwrap_or_default();
    let enabled = sticky.enabled.unwrap_or_default();
    match sticky.duration_seconds {
        None if enabled => {
            return Err(Error::invalid("Stickiness duration must be specified when it is enabled"));
        }
        Some(seconds) if !(1..=STICKY_MAX).contains(&seconds) => {
            return Err(Error::invalid(format!(
                "Stickiness duration '{seconds}' must be between '1-{STICKY_MAX}' inclusive"
            )));
        }
        _ => {}
    }
    config.target_group_stickiness_config = Some(shapes::TargetGroupStickinessConfig {
        enabled: Some(enabled),
        duration_seconds: sticky.duration_seconds,
    });
    action.target_group_arn = match &groups[..] {
        [only] => only.target_group_arn.clone(),
        _ => None,
    };
    config.target_groups = Some(groups);
    action.forward_config = Some(config);
    Ok(())
}

/// With all parts that were left out.
fn redirect(config: shapes::RedirectActionConfig) -> Result<shapes::RedirectActionConfig, Error> {
    let part = |part: Option<String>, usual: &str| part.unwrap_or_else(|| usual.to_owned());
    let config = shapes::RedirectActionConfig {
        host: Some(part(config.host, "#{host}")),
        path: Some(part(config.path, "/#{path}")),
        port: Some(part(config.port, "#{port}")),
        protocol: Some(part(config.protocol, "#{protocol}")),
        query: Some(part(config.query, "#{query}")),
        status_code: config.status_code,
    };
    let shown = |part: &Option<String>| part.clone().unwrap_or_default();
    let (protocol, port) = (shown(&config.protocol), shown(&config.port));
    let (host, path, query) = (shown(&config.host), shown(&config.path), shown(&config.query));
    if !["HTTP", "HTTPS", "#{protocol}"].contains(&protocol.as_str()) {
        return Err(Error::invalid(format!("The redirect protocol '{protocol}' is not valid")));
    }
    if port != "#{port}" && !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(Error::invalid(format!("The redirect port '{port}' is not valid")));
    }
    if !path.starts_with('/') {
        return Err(Error::invalid("The redirect path must begin with '/'"));
    }
    for (name, text) in [("host", &host), ("path", &path), ("query", &query)] {
        if text.len() > PART_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid(format!("The redirect {name} '{text}' is not valid")));
        }
    }
    let same =
        [&protocol, &host, &port, &path] == ["#{protocol}", "#{host}", "#{port}", "/#{path}"];
    if same {
        return Err(Error::Action(
            "The redirect configuration is not valid because it creates a loop: at least one of \
             protocol, host, port and path must be changed"
                .to_owned(),
        ));
    }
    Ok(config)
}

fn fixed_response(config: &shapes::FixedResponseActionConfig) -> Result<(), Error> {
    let code = config.status_code.as_bytes();
    let is_code = matches!(code, [b'2' | b'4' | b'5', rest @ ..]
        if rest.len() == 2 && rest.iter().all(u8::is_ascii_digit));
    if !is_code {
        let text = format!("The status code '{}' must be 2XX, 4XX or 5XX", config.status_code);
        return Err(Error::invalid(text));
    }
    if config.message_body.as_ref().is_some_and(|body| body.len() > BODY_MAX) {
        return Err(Error::invalid(format!("The message body is longer than '{BODY_MAX}' bytes")));
    }
    match config.content_type.as_deref() {
        Some(other) if !other.is_empty() && !CONTENT_TYPES.contains(&other) => {
            Err(Error::Action(format!("The content type '{other}' is not valid")))
        }
        _ => Ok(()),
    }
}

impl Inner {
    /// Refuses actions that name groups that are not there or another load balancer's, groups that
    /// need a listener with TLS (`is_secure`), or more groups than `load_balancer` may have.
    pub(super) fn check_groups(
        &self,
        view: &impl View,
        load_balancer: &LoadBalancerKey,
        actions: &Actions,
        (is_secure, transport): (bool, Transport),
    ) -> Result<(), Error> {
        let is_network = arn::is_network(&load_balancer.1);
        let forwards = actions.routing().is_some_and(|one| one.type_ == ActionTypeEnum::Forward);
        if is_network && !forwards {
            return Err(Error::Action(
                "Only forward actions are supported for network load balancers".to_owned(),
            ));
        }
        for (text, _) in actions.weighted() {
            let key: GroupKey = arn::group(&load_balancer.0, &text)?;
            let row = view.get(&self.tables.groups, &key);
            let row = row.ok_or(Error::NotFound(Kind::TargetGroup))?;
            let fits = match (is_network, row.protocol) {
                (true, Protocol::Tls) => is_secure,
                // One that takes both serves listeners of either.
                (true, Protocol::TcpUdp) => !is_secure,
                (true, Protocol::Tcp) => transport == Transport::Tcp,
                (true, Protocol::Udp) => transport == Transport::Udp,
                (true, Protocol::Http | Protocol::Https) => false,
                (false, protocol) => !protocol.is_stream(),
            };
            if !fits {
                return Err(Error::Incompatible(format!(
                    "Target group '{text}' with protocol {} does not go with the listener",
                    row.protocol.shown().as_str()
                )));
            }
            if row.version != Version::Http1 && !is_secure {
                return Err(Error::Incompatible(format!(
                    "Target group '{text}' with protocol version {} needs an HTTPS listener",
                    row.version.as_str()
                )));
            }
            let users = self.tables.load_balancers_of(view, &key);
            if users.iter().any(|user| user != load_balancer) {
                return Err(Error::Associated(text));
            }
        }
        let mut all = self.tables.groups_of(view, load_balancer);
        all.extend(actions.groups(&load_balancer.0));
        let max = limits::GROUPS_OF_LOAD_BALANCER;
        match all.len() > max {
            true => {
                let text = format!("At most {max} target groups are allowed per load balancer");
                Err(Error::too_many(Limit::TargetGroupsOfOne, text))
            }
            false => Ok(()),
        }
    }
}
