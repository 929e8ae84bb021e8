//! The operations that are built, each with its handler.

mod attributes;
mod check_actions;
mod check_conditions;
mod groups;
mod health_settings;
mod limits;
mod listener_certificates;
mod listeners;
mod load_balancers;
mod names;
mod paging;
mod placement;
mod rules;
mod security;
mod show;
mod ssl_policies;
mod tags;
mod targets;

use std::sync::Arc;

use shapes_elbv2 as shapes;
use shapes_elbv2::operations as ops;
use vpc::Scope;
use wire::{Context, Service, ServiceError};

use crate::Inner;
pub(crate) use targets::delay;

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
        AddListenerCertificates => add_listener_certificates;
        AddTags => add_tags;
        CreateListener => create_listener;
        CreateLoadBalancer => create_load_balancer;
        CreateRule => create_rule;
        CreateTargetGroup => create_target_group;
        DeleteListener => delete_listener;
        DeleteLoadBalancer => delete_load_balancer;
        DeleteRule => delete_rule;
        DeleteTargetGroup => delete_target_group;
        DeregisterTargets => deregister_targets;
        DescribeAccountLimits => describe_account_limits;
        DescribeListenerAttributes => describe_listener_attributes;
        DescribeListenerCertificates => describe_listener_certificates;
        DescribeListeners => describe_listeners;
        DescribeLoadBalancerAttributes => describe_load_balancer_attributes;
        DescribeLoadBalancers => describe_load_balancers;
        DescribeRules => describe_rules;
        DescribeSSLPolicies => describe_ssl_policies;
        DescribeTags => describe_tags;
        DescribeTargetGroupAttributes => describe_target_group_attributes;
        DescribeTargetGroups => describe_target_groups;
        DescribeTargetHealth => describe_target_health;
        ModifyListener => modify_listener;
        ModifyListenerAttributes => modify_listener_attributes;
        ModifyLoadBalancerAttributes => modify_load_balancer_attributes;
        ModifyRule => modify_rule;
        ModifyTargetGroup => modify_target_group;
        ModifyTargetGroupAttributes => modify_target_group_attributes;
        RegisterTargets => register_targets;
        RemoveListenerCertificates => remove_listener_certificates;
        RemoveTags => remove_tags;
        SetIpAddressType => set_ip_address_type;
        SetRulePriorities => set_rule_priorities;
        SetSecurityGroups => set_security_groups;
        SetSubnets => set_subnets;
    }
}

fn scope(context: &Context) -> Scope {
    let caller = &context.caller;
    Scope { account: caller.account.clone(), region: caller.region.clone() }
}
