//! Deliberate mistakes, and which seeds are aimed at them.

use std::time::Duration;

use ecs::Mistake;

use crate::check::Rules;
use crate::plan::{Faults, Plan, ServicePlan};

/// A deliberate mistake in the simulation's own adapters, or in the scheduler of services, to show that the checks find it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutation {
    /// None: what users get.
    #[default]
    None,
    /// The store says that a batch is durable and loses it when the server crashes soon after.
    AcknowledgesBeforeDurable,
    /// The store writes all rows of a batch but one.
    TearsBatches,
    /// The journal says that records are durable, and a loss of power takes them.
    JournalLies,
    /// Reports of agents are answered without having been handed to the server.
    SwallowsReports,
    /// The runtime starts a container twice when it is asked once.
    StartsTwice,
    /// The runtime says that it has stopped a container that goes on.
    LeavesRunning,
    /// The server hands out each payload a second time under the name of another task.
    RenamesTasks,
    /// Payloads are acknowledged without having reached the agent.
    SwallowsPayloads,
    /// A registration claims twice the machine that there is.
    OverstatesCapacity,
    /// Randomness that does not come from the seed.
    ForgetsSeed,
    /// Commits go to etcd without the comparisons that shut out an old leader.
    ForgetsFence,
    /// The clock that leases are judged by does not run while a server's machine sleeps.
    ClockStands,
    /// etcd answers the question for the newest commit with the first one that it knew.
    AnswersOldHead,
    /// etcd says that it has taken a commit and has not.
    LosesCommits,
    /// The watch of etcd passes over rows now and then.
    SkipsEvents,
    /// The scheduler of services makes this mistake.
    Scheduler(Mistake),
}

impl Mutation {
    /// All that are mistakes.
    pub fn all() -> Vec<Self> {
        let ours = [
            Self::AcknowledgesBeforeDurable,
            Self::TearsBatches,
            Self::JournalLies,
            Self::SwallowsReports,
            Self::StartsTwice,
            Self::LeavesRunning,
            Self::RenamesTasks,
            Self::SwallowsPayloads,
            Self::OverstatesCapacity,
            Self::ForgetsSeed,
            Self::ForgetsFence,
            Self::ClockStands,
            Self::AnswersOldHead,
            Self::LosesCommits,
            Self::SkipsEvents,
        ];
        ours.into_iter().chain(Mistake::ALL.into_iter().map(Self::Scheduler)).collect()
    }

    /// Whether it needs several servers to show.
    pub(crate) fn is_of_several(self) -> bool {
        let all = [
            Self::ForgetsFence,
            Self::ClockStands,
            Self::AnswersOldHead,
            Self::LosesCommits,
            Self::SkipsEvents,
        ];
        all.contains(&self)
    }

    /// Whether it needs a server with a disk of its own.
    pub(crate) fn is_of_one(self) -> bool {
        matches!(self, Self::AcknowledgesBeforeDurable | Self::TearsBatches)
    }

    /// Changes what a seed decided so that the mistake can show: a simulation that is given to
    /// little else finds in minutes what would take others days.
    pub(crate) fn aim(self, plan: &mut Plan) {
        match self {
            // An old leader must wake up and hear of nothing before somebody asks it.
            Self::ClockStands => {
                plan.faults = Faults {
                    pause: 40_000,
                    etcd_late: 30_000,
                    watch_breaks: 3_000,
                    ..Faults::default()
                };
                plan.lease = Duration::from_secs(2);
                (plan.clients, plan.think_ms, plan.services) = (4, 200, None);
            }
            Self::Scheduler(mistake) => {
                let services = plan.services.get_or_insert(ServicePlan {
                    share: 80,
                    names: 2,
                    tasks: 4,
                    rules: Rules { settle: Duration::from_secs(5), lost_after: None },
                    throttle: Duration::from_secs(5),
                    external: false,
                    alarms: false,
                });
                services.external |= mistake == Mistake::TakesWholeShares;
                services.alarms |= mistake == Mistake::IgnoresAlarms;
                services.share = 80;
                services.rules.settle = services.rules.settle.max(Duration::from_secs(5));
            }
            _ => {}
        }
    }
}
