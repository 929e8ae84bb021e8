//! Containers. Their commands are words that the simulation understands: `run` (ends on SIGTERM),
//! `stubborn` (ends on SIGKILL only), `exit CODE MILLISECONDS`, `sick MILLISECONDS` (as `run`, but
//! its health checks fail after that time).

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use runtime::{
    CallError, ContainerEvent, ContainerId, ContainerSpec, ContainerState, ContainerStatus,
    Containers, CreateError, Created, ExecOutcome, Signal, Stats, TaskLimits,
};
use terms::Clock;
use tokio::sync::mpsc;

use super::{Container, Seen};
use crate::mutation::Mutation;

/// The process id of everything.
const PID: i32 = 1;

#[async_trait]
impl Containers for Seen {
    async fn prepare_task(&self, task: &str, _: &TaskLimits) -> Result<(), CallError> {
        let what = format!("makes the cgroup of {task}");
        self.effect(&what, |state| _ = state.tasks.insert(task.to_owned())).await;
        Ok(())
    }

    async fn remove_task(&self, task: &str) -> Result<(), CallError> {
        self.effect(&format!("removes {task}"), |state| _ = state.tasks.remove(task)).await;
        Ok(())
    }

    async fn create(&self, spec: ContainerSpec) -> Result<Created, CreateError> {
        let world = &self.host.world;
        if world.strikes(|faults| faults.create_fails) {
            world.tally("create fails", &spec.name);
            self.life.pass().await;
            return Err(CreateError::Launch("no space left on device".to_owned()));
        }
        let at = self.host.clock.now();
        self.effect(&format!("creates {}", spec.name), |state| {
            if state.containers.contains_key(&spec.id) {
                return Err(CreateError::Exists(spec.id.clone()));
            }
            let created = ContainerState::Created { pid: PID };
            let container = Container { state: created, spec: spec.clone(), restarts: 0 };
            state.containers.insert(spec.id.clone(), container);
            Ok(Created { pid: PID, at })
        })
        .await
    }

    async fn revive(&self, id: &ContainerId, restarts: u32) -> Result<Created, CreateError> {
        let at = self.host.clock.now();
        self.effect(&format!("revives {}", id.short()), |state| {
            let unknown = || CreateError::Launch(CallError::Unknown(id.clone()).to_string());
            let container = state.containers.get_mut(id).ok_or_else(unknown)?;
            if let ContainerState::Exited(_) = container.state {
                container.state = ContainerState::Created { pid: PID };
                container.restarts = restarts;
            }
            Ok(Created { pid: PID, at })
        })
        .await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), CallError> {
        let (host, world) = (&self.host, &self.host.world);
        if world.strikes(|faults| faults.start_fails) {
            world.tally("start fails", id.short());
            self.life.pass().await;
            return Err(CallError::Refused("no such program".to_owned()));
        }
        let started_at = host.clock.now();
        self.effect(&format!("starts {}", id.short()), |state| {
            let container = state.containers.get_mut(id).ok_or(CallError::Unknown(id.clone()))?;
            match container.state {
                ContainerState::Created { .. } => {}
                // What is already so is success.
                ContainerState::Running { .. } => return Ok(()),
                ContainerState::Exited(_) => return Err(CallError::NotRunning(id.clone())),
            }
            container.state = ContainerState::Running { pid: PID, started_at };
            let spec = container.spec.clone();
            self.plan_exit(id, &spec.args);
            let running: Vec<_> = state
                .containers
                .values()
                .filter(|container| container.is_running())
                .map(|container| container.spec.clone())
                .collect();
            let mut checker = world.checker.lock();
            let mut found = checker.started(&host.name, &spec, &running);
            if world.is_mutated(Mutation::StartsTwice) && world.draw(|c| c.below(10)) == 0 {
                found.extend(checker.started(&host.name, &spec, &running));
            }
            drop(checker);
            world.judge(found);
            Ok(())
        })
        .await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), CallError> {
        let host = &self.host;
        self.effect(&format!("{signal} to {}", id.short()), |state| {
            let Some(container) = state.containers.get(id) else {
                return Err(CallError::Unknown(id.clone()));
            };
            let stubborn = container.spec.args[0] == "stubborn";
            if host.world.is_mutated(Mutation::LeavesRunning) && !stubborn {
                let exit = runtime::Exit {
                    code: 0,
                    oom: false,
                    at: host.clock.now(),
                    started_at: None,
                    reason: None,
                    restarts: 0,
                };
                if let Some(events) = &state.events {
                    let _ = events.try_send(ContainerEvent::Exited { id: id.clone(), exit });
                }
                return Ok(());
            }
            if signal == Signal::KILL || !stubborn {
                let wait = host.world.draw(|chance| chance.millis(0, 400));
                host.exit_later(id, 128 + signal.number(), wait);
            }
            Ok(())
        })
        .await
    }

    async fn exec(
        &self,
        id: &ContainerId,
        _: Vec<String>,
        _: Duration,
    ) -> Result<ExecOutcome, CallError> {
        let (host, world) = (&self.host, &self.host.world);
        self.life.pass().await;
        tokio::time::sleep(world.delay(super::EFFECT)).await;
        self.life.pass().await;
        let fails = world.strikes(|faults| faults.check_fails);
        if fails {
            world.tally("check fails", id.short());
        }
        let state = host.state.lock();
        let container = state.containers.get(id).ok_or(CallError::Unknown(id.clone()))?;
        let ContainerState::Running { started_at, .. } = container.state else {
            return Err(CallError::NotRunning(id.clone()));
        };
        let lived = host.clock.now().since(started_at);
        let is_sick = sick_after(&container.spec.args).is_some_and(|well| lived >= well);
        let code = i32::from(fails || is_sick);
        Ok(ExecOutcome::Exited { code, output: String::new() })
    }

    async fn remove(&self, id: &ContainerId, _: bool) -> Result<(), CallError> {
        let world = &self.host.world;
        if world.strikes(|faults| faults.remove_fails) {
            world.tally("remove fails", id.short());
            self.life.pass().await;
            return Err(CallError::Refused("device or resource busy".to_owned()));
        }
        let what = format!("removes {}", id.short());
        self.effect(&what, |state| _ = state.containers.remove(id)).await;
        Ok(())
    }

    async fn list(&self) -> Vec<ContainerStatus> {
        self.life.pass().await;
        let state = self.host.state.lock();
        let status = |(id, container): (&ContainerId, &Container)| ContainerStatus {
            id: id.clone(),
            name: container.spec.name.clone(),
            task: container.spec.task.clone(),
            state: container.state.clone(),
        };
        state.containers.iter().map(status).collect()
    }

    async fn status(&self, id: &ContainerId) -> Option<ContainerStatus> {
        Containers::list(self).await.into_iter().find(|status| status.id == *id)
    }

    async fn stats(&self, id: &ContainerId) -> Result<Stats, CallError> {
        self.life.pass().await;
        let state = self.host.state.lock();
        match state.containers.get(id) {
            Some(container) if container.is_running() => Ok(Stats::default()),
            Some(_) => Err(CallError::NotRunning(id.clone())),
            None => Err(CallError::Unknown(id.clone())),
        }
    }

    fn events(&self) -> mpsc::Receiver<ContainerEvent> {
        let (sender, receiver) = mpsc::channel(runtime::containers::EVENTS_MAX);
        if !self.life.is_over() {
            self.host.state.lock().events = Some(sender);
        }
        receiver
    }

    fn log_path(&self, id: &ContainerId) -> PathBuf {
        PathBuf::from("/nonexistent").join(id.as_str())
    }
}

/// After which time the container's checks fail.
fn sick_after(args: &[String]) -> Option<Duration> {
    let (word, millis) = (args.first()?, args.get(1)?);
    (word == "sick").then(|| millis.parse().ok().map(Duration::from_millis)).flatten()
}

impl Seen {
    fn plan_exit(&self, id: &ContainerId, args: &[String]) {
        let number = |index: usize| args.get(index).and_then(|text| text.parse::<u64>().ok());
        if args.first().is_some_and(|word| word == "exit") {
            let code = number(1).and_then(|code| i32::try_from(code).ok()).unwrap_or(1);
            let wait = Duration::from_millis(number(2).unwrap_or(0));
            self.host.exit_later(id, code, wait);
        }
    }
}
