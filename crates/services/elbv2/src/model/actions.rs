//! What is done with a request: kept as it came, for it is shown as it came.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shapes_elbv2 as shapes;
use shapes_elbv2::ActionTypeEnum;
use vpc::Scope;
use wire::document::Document;

use crate::arn;
use crate::tables::GroupKey;

/// The actions of a rule or a listener, in order; the last one answers or forwards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Actions(Vec<Document<shapes::Action>>);

impl Actions {
    /// These actions; they were checked before.
    pub(crate) fn new(actions: Vec<shapes::Action>) -> Self {
        Self(actions.into_iter().map(Document::new).collect())
    }

    /// As they are shown.
    pub(crate) fn shown(&self) -> Vec<shapes::Action> {
        self.0.iter().map(|action| shapes::Action::clone(action)).collect()
    }

    /// The one that answers or forwards.
    pub(crate) fn routing(&self) -> Option<&shapes::Action> {
        self.0.last().map(|action| &**action)
    }

    /// The ARNs of the groups that they forward to with their weights, in order.
    pub(crate) fn weighted(&self) -> Vec<(String, u32)> {
        let forward = self.routing().filter(|action| action.type_ == ActionTypeEnum::Forward);
        forward.map(weighted).unwrap_or_default()
    }

    /// The same with other groups and weights; none if they do not forward.
    pub(crate) fn shared_out(&self, weights: &[(String, u32)]) -> Option<Self> {
        let mut actions = self.shown();
        let forward = actions.last_mut().filter(|one| one.type_ == ActionTypeEnum::Forward)?;
        let tuple = |(group, weight): &(String, u32)| shapes::TargetGroupTuple {
            target_group_arn: Some(group.clone()),
            weight: i32::try_from(*weight).ok(),
        };
        // Several groups are shown in the configuration alone.
        forward.target_group_arn = None;
        let config = forward.forward_config.get_or_insert_default();
        config.target_groups = Some(weights.iter().map(tuple).collect());
        Some(Self::new(actions))
    }

    /// The keys of the groups that they forward to, each once.
    pub(crate) fn groups(&self, scope: &Scope) -> Vec<GroupKey> {
        let groups = self.weighted().into_iter();
        let keys: BTreeSet<_> =
            groups.filter_map(|(text, _)| arn::group(scope, &text).ok()).collect();
        keys.into_iter().collect()
    }
}

/// The groups of a forward action with their weights; a group without one weighs 1.
pub(crate) fn weighted(action: &shapes::Action) -> Vec<(String, u32)> {
    let config = action.forward_config.as_ref();
    let groups = config.and_then(|config| config.target_groups.as_deref()).unwrap_or_default();
    if groups.is_empty() {
        return action.target_group_arn.iter().map(|arn| (arn.clone(), 1)).collect();
    }
    let weight = |weight: Option<i32>| u32::try_from(weight.unwrap_or(1)).unwrap_or_default();
    let pair = |group: &shapes::TargetGroupTuple| {
        (group.target_group_arn.clone().unwrap_or_default(), weight(group.weight))
    };
    groups.iter().map(pair).collect()
}
