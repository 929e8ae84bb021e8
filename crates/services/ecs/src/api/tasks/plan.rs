//! A dry run of RunTask: the same reading, the same plan, and nothing is written.

use std::collections::BTreeMap;

use placement::{Refusal, Request, count_reasons};
use serde::Serialize;
use shapes_ecs as shapes;
use terms::{ContainerInstanceId, TaskId};

use super::super::Api;
use crate::decide::shares;
use crate::error::Error;
use crate::model::{RefusalCount, RefusalNote};
use crate::placing::Plan;
use crate::tables::{ClusterKey, Scope};
use crate::whatif::Taken;

/// Refused instances that are told for each reason; the others are only counted.
const MAX_EXAMPLES: usize = 3;

/// Where the tasks of a request would go, and why some would not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outlook {
    cluster_arn: String,
    task_definition_arn: String,
    /// The group that spread and distinctInstance count.
    group: String,
    /// How many tasks are asked for.
    count: u32,
    /// How many would be placed.
    placed: u32,
    /// The rules that choose, in words; chance if there are none.
    strategy: Vec<String>,
    /// What each task takes.
    needs: Needs,
    /// How many instances there are to choose from.
    considered: usize,
    /// Where the tasks would go.
    placements: Vec<Place>,
    /// Why instances could not take the first task.
    refused: Refused,
    /// Why no instance could take the first task that would not be placed.
    shortage: Refused,
}

/// What a task takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Needs {
    cpu: u32,
    memory: u32,
    gpus: u32,
    tcp_ports: Vec<u16>,
    udp_ports: Vec<u16>,
}

/// An instance that would take tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    #[serde(skip)]
    instance: ContainerInstanceId,
    container_instance_arn: String,
    ec2_instance_id: Option<String>,
    availability_zone: Option<String>,
    /// How many of the tasks.
    tasks: u32,
    /// CPU units and MiB that would be left there.
    remaining_cpu: u32,
    remaining_memory: u32,
}

/// Instances that cannot take a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    /// How many for each reason, the most frequent first.
    reasons: Vec<RefusalCount>,
    /// Some for each reason, in words.
    examples: Vec<RefusalNote>,
}

impl Refused {
    /// Tells of a capacity provider that has no instance.
    fn add_empty(&mut self, cluster: &ClusterKey, provider: &str) {
        let Scope { region, account } = &cluster.scope;
        let reason = shares::EMPTY_PROVIDER.to_owned();
        self.reasons.push(RefusalCount { reason: reason.clone(), instances: 0 });
        self.examples.push(RefusalNote {
            instance: format!("arn:aws:ecs:{region}:{account}:capacity-provider/{provider}"),
            reason,
            detail: "the capacity provider has no container instance".to_owned(),
        });
    }
}

impl Outlook {
    /// Whether every task would be placed.
    pub(crate) fn all_fit(&self) -> bool {
        self.placed == self.count
    }

    /// What would be taken of each instance.
    pub(crate) fn taken(&self) -> impl Iterator<Item = Taken> {
        let (cpu, memory) = (self.needs.cpu, self.needs.memory);
        self.placements.iter().map(move |place| Taken {
            instance: place.instance,
            tasks: place.tasks,
            cpu,
            memory,
        })
    }
}

impl Api {
    /// Says what RunTask would do with `input` now.
    ///
    /// # Errors
    /// Those of RunTask.
    pub(crate) fn plan_run_task(
        &self,
        scope: &Scope,
        input: &shapes::RunTaskRequest,
    ) -> Result<Outlook, Error> {
        let asked = self.read_run_task(scope, input)?;
        let snapshot = self.ledger.snapshot();
        let cluster = &asked.cluster;
        let (template, requests) = self.ready(&snapshot, &asked, input)?;
        let ground = &template.ground();
        let plan = |request: &Request| {
            // Ids for the plan alone: it is dropped with them.
            let ids = (0..request.count).map(|_| TaskId::from_bytes(self.ids.next()));
            let ids: Vec<_> = ids.collect();
            self.placer.plan(&snapshot.facts(), ground, request, &ids, self.seed())
        };
        // They stay until all are made, so that each leaves the others' room alone.
        let plans: Vec<Plan> = requests.iter().map(plan).collect();
        let considered = plans.iter().map(|plan| plan.considered).sum();
        if considered == 0 && !template.by_providers && template.fargate.is_none() {
            return Err(Error::invalid("No Container Instances were found in your cluster."));
        }
        let mut shortage = refused(ground, &all_of(&plans, |plan| &plan.shortage));
        for (request, plan) in requests.iter().zip(&plans) {
            if plan.considered == 0
                && let Some(provider) = shares::provider_of(request)
            {
                shortage.add_empty(cluster, provider);
            }
        }
        let strategies = requests.first().map(|request| request.strategies.as_slice());
        let numbers = |ports: &std::collections::BTreeSet<u16>| ports.iter().copied().collect();
        Ok(Outlook {
            cluster_arn: cluster.arn().to_string(),
            task_definition_arn: template.definition.arn.to_string(),
            group: template.group.to_string(),
            count: requests.iter().map(|request| request.count).sum(),
            placed: count(plans.iter().map(|plan| plan.placed.len()).sum()),
            strategy: strategies.unwrap_or_default().iter().map(ToString::to_string).collect(),
            needs: Needs {
                cpu: template.demand.cpu.get(),
                memory: template.demand.memory.get(),
                gpus: template.demand.gpus,
                tcp_ports: numbers(&template.demand.tcp),
                udp_ports: numbers(&template.demand.udp),
            },
            considered,
            placements: self.places(&snapshot, ground, &plans),
            refused: refused(ground, &all_of(&plans, |plan| &plan.refusals)),
            shortage,
        })
    }

    fn places(
        &self,
        snapshot: &ledger::Snapshot,
        cluster: &ClusterKey,
        plans: &[Plan],
    ) -> Vec<Place> {
        let mut tasks: BTreeMap<ContainerInstanceId, u32> = BTreeMap::new();
        for (_, instance) in plans.iter().flat_map(|plan| &plan.placed) {
            *tasks.entry(*instance).or_default() += 1;
        }
        let place = |(id, tasks): (ContainerInstanceId, u32)| {
            let row = snapshot.get(&self.tables.instances, &cluster.instance(id));
            // All plans are on the same fleet.
            let (cpu, memory) = plans.first().map_or((0, 0), |plan| plan.left(id));
            let zone = row.as_ref().and_then(|row| row.attributes.get(placement::ZONE).cloned());
            Place {
                instance: id,
                container_instance_arn: cluster.instance_arn(id).to_string(),
                ec2_instance_id: row.and_then(|row| row.ec2_instance_id.clone()),
                availability_zone: zone.flatten(),
                tasks,
                remaining_cpu: cpu,
                remaining_memory: memory,
            }
        };
        tasks.into_iter().map(place).collect()
    }
}

fn all_of(plans: &[Plan], of: fn(&Plan) -> &Vec<Refusal>) -> Vec<Refusal> {
    plans.iter().flat_map(of).cloned().collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(crate) fn refused(cluster: &ClusterKey, refusals: &[Refusal]) -> Refused {
    let mut reasons: Vec<RefusalCount> = count_reasons(refusals)
        .into_iter()
        .map(|(reason, instances)| RefusalCount { reason: reason.to_owned(), instances })
        .collect();
    reasons.sort_by_key(|count| std::cmp::Reverse(count.instances));
    let examples = reasons.iter().flat_map(|count| {
        let these = refusals.iter().filter(|one| one.reason.code() == count.reason);
        these.take(MAX_EXAMPLES).map(|one| RefusalNote {
            instance: cluster.instance_arn(one.instance).to_string(),
            reason: count.reason.clone(),
            detail: one.reason.to_string(),
        })
    });
    Refused { examples: examples.collect(), reasons }
}
