//! What there is: the default VPC with its parts, which is stored only where something of it was
//! changed, and what was made.

use ledger::View;

use crate::model::{DEFAULT, DefaultVpc, SecurityGroup, Subnet, VpcRecord};
use crate::tables::{Scope, Tables};

impl Tables {
    /// The VPCs, the default one first.
    pub(crate) fn vpcs(&self, view: &impl View, scope: &Scope) -> Vec<VpcRecord> {
        let default = DefaultVpc::of(scope).vpc;
        let rows = view.prefix(&self.vpcs, scope).map(|(_, row)| (*row).clone());
        over(vec![default], rows, |row| &row.id)
    }

    /// The VPC of this id.
    pub(crate) fn vpc(&self, view: &impl View, scope: &Scope, id: &str) -> Option<VpcRecord> {
        let made = view.get(&self.vpcs, &(scope.clone(), id.to_owned()));
        made.map(|row| (*row).clone())
            .or_else(|| Some(DefaultVpc::of(scope).vpc).filter(|default| default.id == id))
    }

    /// The subnets, those of the default VPC first.
    pub(crate) fn subnets(&self, view: &impl View, scope: &Scope) -> Vec<Subnet> {
        let rows = view.prefix(&self.subnets, scope).map(|(_, row)| (*row).clone());
        over(DefaultVpc::of(scope).subnets, rows, |row| &row.id)
    }

    /// The subnet of this id.
    pub(crate) fn subnet(&self, view: &impl View, scope: &Scope, id: &str) -> Option<Subnet> {
        let made = view.get(&self.subnets, &(scope.clone(), id.to_owned()));
        made.map(|row| (*row).clone())
            .or_else(|| DefaultVpc::of(scope).subnets.into_iter().find(|default| default.id == id))
    }

    /// The security groups, that of the default VPC first.
    pub(crate) fn groups(&self, view: &impl View, scope: &Scope) -> Vec<SecurityGroup> {
        let default = DefaultVpc::of(scope).group;
        let rows = view.prefix(&self.groups, scope).map(|(_, row)| (*row).clone());
        over(vec![default], rows, |row| &row.id)
    }

    /// The security group of this id.
    pub(crate) fn group(&self, view: &impl View, scope: &Scope, id: &str) -> Option<SecurityGroup> {
        let made = view.get(&self.groups, &(scope.clone(), id.to_owned()));
        made.map(|row| (*row).clone())
            .or_else(|| Some(DefaultVpc::of(scope).group).filter(|default| default.id == id))
    }

    /// The default security group of a VPC.
    pub(crate) fn default_group(
        &self,
        view: &impl View,
        scope: &Scope,
        vpc: &str,
    ) -> Option<SecurityGroup> {
        self.group_named(view, scope, vpc, DEFAULT)
    }

    /// The security group of this name in a VPC.
    pub(crate) fn group_named(
        &self,
        view: &impl View,
        scope: &Scope,
        vpc: &str,
        name: &str,
    ) -> Option<SecurityGroup> {
        let key = (scope.clone(), vpc.to_owned(), name.to_owned());
        let made = view.index(&self.groups_by_name, &key).next();
        made.map(|(_, row)| (*row).clone()).or_else(|| {
            let default = DefaultVpc::of(scope).group;
            Some(default).filter(|default| default.vpc == vpc && default.name == name)
        })
    }
}

/// The defaults with the rows over them: a row of the same id stands for the default.
fn over<T>(mut all: Vec<T>, rows: impl Iterator<Item = T>, id_of: impl Fn(&T) -> &str) -> Vec<T> {
    let defaults = all.len();
    for row in rows {
        match all[..defaults].iter().position(|default| id_of(default) == id_of(&row)) {
            Some(at) => all[at] = row,
            None => all.push(row),
        }
    }
    all
}
