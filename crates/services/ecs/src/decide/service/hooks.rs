//! Lifecycle hooks of a deployment (ECS semantics §10.3): they are asked at each stage that they name,
//! and the deployment goes on when all of them let it.

use std::time::Duration;

use terms::Timestamp;

use super::look::Look;
use crate::model::{
    Deployment, Hook, HookAction, HookRun, HookRuns, HookStatus, HookTarget, Stage, Staged,
};

/// The pause until a function that is not done is asked again, if it does not say.
pub(crate) const USUAL_DELAY: Duration = Duration::from_secs(30);
/// The longest such pause: a stage takes no longer.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often in a row a function that cannot be reached is called, and the pause between.
const TRIES: (u32, Duration) = (3, Duration::from_secs(5));

/// What a function said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// SUCCEEDED, FAILED or IN_PROGRESS.
    pub(crate) status: HookStatus,
    /// When it wants to be asked again.
    pub(crate) delay: Duration,
    /// What it wants to be told then, as JSON.
    pub(crate) details: Option<String>,
}

/// That nothing was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer {
    /// Why.
    pub(crate) text: String,
    /// Whether trying again may help.
    pub(crate) may_pass: bool,
}

/// Takes note of what became of a call.
pub(crate) fn answered(
    hooks: &mut HookRuns,
    id: &str,
    answer: Result<Answer, NoAnswer>,
    now: Timestamp,
) {
    let Some(run) = hooks.find(id) else { return };
    // It was too late, or the deployment has been given up.
    if run.status.is_over() || run.call_at.is_none() {
        return;
    }
    let place = run.hook;
    match answer {
        Ok(answer) => {
            run.failures = 0;
            match answer.status {
                HookStatus::InProgress | HookStatus::AwaitingAction => {
                    run.call_at = Some(now + answer.delay);
                }
                HookStatus::Succeeded => run.end(HookStatus::Succeeded, None),
                HookStatus::Failed | HookStatus::TimedOut => {
                    let said = "it answered FAILED".to_owned();
                    run.end(HookStatus::Failed, Some(said));
                }
            }
            if let Some(details) = answer.details {
                hooks.details.insert(place, details);
            }
        }
        Err(none) => {
            run.failures += 1;
            if none.may_pass && run.failures < TRIES.0 {
                run.call_at = Some(now + TRIES.1);
            } else {
                run.end(HookStatus::Failed, Some(none.text));
            }
        }
    }
}

/// Whether all hooks of a stage and step let the deployment go on.
pub(super) fn have_passed(one: &Deployment, at: &Staged, is_reconciled: bool) -> bool {
    let runs = &one.hooks.runs;
    // Nobody is asked about what is left of earlier deployments when nothing is.
    let is_idle = at.stage == Stage::ReconcileService
        && is_reconciled
        && !runs.iter().any(|run| run.is_at(at));
    is_idle
        || at_stage(one, at.stage).all(|(place, hook)| {
            let run = runs.iter().find(|run| run.is_at(at) && run.hook == place);
            run.is_some_and(|run| match run.status {
                HookStatus::Succeeded => true,
                HookStatus::TimedOut => hook.action == Some(HookAction::Continue),
                HookStatus::AwaitingAction | HookStatus::InProgress | HookStatus::Failed => false,
            })
        })
}

/// Why a hook does not let the deployment go on, if one does not.
pub(super) fn refusal(one: &Deployment) -> Option<String> {
    let refuses = |run: &&HookRun| {
        let hook = hook_of(one, run);
        let goes_on = hook.is_some_and(|hook| hook.action == Some(HookAction::Continue));
        run.status == HookStatus::Failed || (run.status == HookStatus::TimedOut && !goes_on)
    };
    let run = one.hooks.runs.iter().filter(|run| !run.goes_back).find(refuses)?;
    let who = match hook_of(one, run).map(|hook| &hook.target) {
        Some(HookTarget::Function(name)) => format!("Lifecycle hook {name}"),
        Some(HookTarget::Pause) | None => "The pause".to_owned(),
    };
    let stage = run.stage.as_str();
    Some(match (run.status, &run.reason) {
        (HookStatus::TimedOut, _) => format!("{who} timed out at {stage}."),
        (_, Some(reason)) => format!("{who} failed at {stage}: {reason}."),
        (_, None) => format!("{who} failed at {stage}."),
    })
}

fn hook_of<'a>(one: &'a Deployment, run: &HookRun) -> Option<&'a Hook> {
    one.configuration.hooks.get(usize::try_from(run.hook).ok()?)
}

fn at_stage(one: &Deployment, stage: Stage) -> impl Iterator<Item = (u32, &Hook)> {
    let hooks = (0..).zip(&one.configuration.hooks);
    hooks.filter(move |(_, hook)| hook.stages.contains(&stage))
}

impl Look<'_> {
    /// Gives up waiting for hooks that have not answered in time.
    pub(super) fn expire_hooks(&mut self, at: usize) {
        let now = self.now;
        let mut again = None;
        for run in &mut self.rows.deployments[at].hooks.runs {
            if run.status.is_over() {
                continue;
            }
            if run.expires_at <= now {
                run.end(HookStatus::TimedOut, None);
            } else {
                again = Some(again.map_or(run.expires_at, |at: Timestamp| at.min(run.expires_at)));
            }
        }
        self.look_again(again);
    }

    /// Asks the hooks of the stage and step that a deployment is at.
    pub(super) fn ask_hooks(&mut self, at: usize, staged: &Staged, is_reconciled: bool) {
        let now = self.now;
        let one = &mut self.rows.deployments[at];
        if one.configuration.hooks.is_empty() {
            return;
        }
        one.hooks.runs.retain(|run| run.is_at(staged));
        if staged.stage == Stage::ReconcileService && is_reconciled {
            return;
        }
        let is_new = |place: &u32| one.hooks.runs.iter().all(|run| run.hook != *place);
        let new: Vec<HookRun> = at_stage(one, staged.stage)
            .filter(|(place, _)| is_new(place))
            .map(|hook| HookRun::begin(hook, staged, false, now))
            .collect();
        let first = new.iter().map(|run| run.expires_at).min();
        one.hooks.runs.extend(new);
        self.look_again(first);
    }
}

/// Nobody is asked any more: the deployment was given up.
pub(super) fn close(one: &mut Deployment) {
    one.hooks.runs.retain_mut(|run| {
        if !run.status.is_over() {
            run.end(HookStatus::Failed, Some("the deployment was given up".to_owned()));
        }
        run.status != HookStatus::Succeeded
    });
}

/// Traffic goes back from a deployment: its hooks for the shifts are told, with nothing of the traffic
/// left to it (ECS semantics §10.2).
pub(super) fn turn_back(one: &mut Deployment, now: Timestamp) {
    let Some(before) = one.stage else { return };
    let back = Staged { production: 0, test: 0, ..before };
    one.stage = Some(back);
    let shifts = [
        (Stage::TestTrafficShift, before.test),
        (Stage::ProductionTrafficShift, before.production),
    ];
    for (stage, part) in shifts.into_iter().filter(|(_, part)| *part > 0) {
        // The step that is taken back is what the asking is known by.
        let at = Staged { stage, production: part, ..back };
        let runs: Vec<HookRun> =
            at_stage(one, stage).map(|hook| HookRun::begin(hook, &at, true, now)).collect();
        one.hooks.runs.extend(runs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::deployment;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn hook(stages: &[Stage], action: Option<HookAction>) -> Hook {
        Hook {
            target: HookTarget::Function("http://hook/".to_owned()),
            role: None,
            stages: stages.to_vec(),
            details: None,
            minutes: Some(10),
            action,
        }
    }

    /// A deployment at a stage whose only hook is asked there.
    fn asked(action: Option<HookAction>) -> (Deployment, Staged) {
        let mut one = deployment(1);
        one.configuration.hooks = vec![hook(&[Stage::PostScaleUp], action)];
        let at = Staged { stage: Stage::PostScaleUp, since: NOW, production: 0, test: 0 };
        let run = HookRun::begin((0, &one.configuration.hooks[0]), &at, false, NOW);
        one.hooks.runs.push(run);
        (one, at)
    }

    fn said(status: HookStatus) -> Result<Answer, NoAnswer> {
        Ok(Answer { status, delay: USUAL_DELAY, details: Some("{\"n\":1}".to_owned()) })
    }

    #[test]
    fn a_function_is_asked_until_it_says_how_it_ends() {
        let (mut one, at) = asked(None);
        let id = one.hooks.runs[0].id();
        assert_eq!(id, "0-POST_SCALE_UP-0");
        answered(&mut one.hooks, &id, said(HookStatus::InProgress), NOW);
        assert_eq!(one.hooks.next_call(), Some(NOW + USUAL_DELAY));
        assert_eq!(one.hooks.details.get(&0).map(String::as_str), Some("{\"n\":1}"));
        assert!(!have_passed(&one, &at, true) && refusal(&one).is_none());
        answered(&mut one.hooks, &id, said(HookStatus::Succeeded), NOW);
        assert!(have_passed(&one, &at, true) && refusal(&one).is_none());
        assert_eq!(one.hooks.next_call(), None);
        // What comes late changes nothing.
        answered(&mut one.hooks, &id, said(HookStatus::Failed), NOW);
        assert!(have_passed(&one, &at, true));
        // Another step is asked about anew.
        assert!(!have_passed(&one, &Staged { production: 500, ..at }, true));
    }

    #[test]
    fn a_refusal_says_who_and_why() {
        let (mut one, at) = asked(Some(HookAction::Continue));
        let id = one.hooks.runs[0].id();
        answered(&mut one.hooks, &id, said(HookStatus::Failed), NOW);
        assert!(!have_passed(&one, &at, true));
        let text = "Lifecycle hook http://hook/ failed at POST_SCALE_UP: it answered FAILED.";
        assert_eq!(refusal(&one).as_deref(), Some(text));
    }

    #[test]
    fn who_cannot_be_reached_is_tried_again_but_not_for_ever() {
        let (mut one, _) = asked(None);
        let id = one.hooks.runs[0].id();
        let none = |may_pass| Err(NoAnswer { text: "refused".to_owned(), may_pass });
        for _ in 1..TRIES.0 {
            answered(&mut one.hooks, &id, none(true), NOW);
            assert_eq!(one.hooks.next_call(), Some(NOW + TRIES.1));
        }
        answered(&mut one.hooks, &id, none(true), NOW);
        assert_eq!(one.hooks.runs[0].status, HookStatus::Failed);
        let (mut other, _) = asked(None);
        answered(&mut other.hooks, &id, none(false), NOW);
        assert_eq!(other.hooks.runs[0].status, HookStatus::Failed);
    }

    #[test]
    fn what_time_does_is_said_by_the_hook() {
        for (action, goes_on) in [(None, false), (Some(HookAction::Continue), true)] {
            let (mut one, at) = asked(action);
            one.hooks.runs[0].end(HookStatus::TimedOut, None);
            assert_eq!(have_passed(&one, &at, true), goes_on);
            assert_eq!(refusal(&one).is_none(), goes_on);
        }
    }

    #[test]
    fn on_the_way_back_the_shifts_are_told() {
        let (mut one, _) = asked(None);
        let shifts = [Stage::TestTrafficShift, Stage::ProductionTrafficShift];
        one.configuration.hooks = vec![hook(&shifts, None)];
        let at = Staged {
            stage: Stage::ProductionTrafficShift,
            since: NOW,
            production: 300,
            test: 1000,
        };
        one.stage = Some(at);
        close(&mut one);
        turn_back(&mut one, NOW);
        let told = one.hooks.runs.iter().filter(|run| run.goes_back);
        let told: Vec<String> = told.map(HookRun::id).collect();
        let expected =
            ["0-TEST_TRAFFIC_SHIFT-1000-rollback", "0-PRODUCTION_TRAFFIC_SHIFT-300-rollback"];
        assert_eq!(told, expected);
        assert_eq!(one.stage.map(|at| (at.production, at.test)), Some((0, 0)));
        assert!(refusal(&one).is_some_and(|text| text.contains("given up")));
    }
}
