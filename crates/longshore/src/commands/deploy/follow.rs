//! Following a deployment: looks, what is shown of them, and the end.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use terms::{Clock, Timestamp};
use tokio::signal::unix::Signal;
use wire::client::{Client, ClientError};

use super::course::{self, Look, Told, Verdict};
use super::health::healthy;
use super::screen::Screen;
use super::{Named, WaitFor, bars, tasks};
use crate::api::{ecs, short, text};
use crate::clock::SystemClock;
use crate::exit::Exit;
use crate::output::{self, Format, say};

/// How often the service is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks in a row that may fail because the server cannot be reached: a minute of them.
const FAILED_LOOKS_MAX: u32 = 240;
/// The exit code when the deployment goes on after the time that was given.
const STILL_GOING: u8 = 5;
/// That after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// What is followed, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The service.
    pub named: Named,
    /// When it has gone far enough.
    pub wait_for: WaitFor,
    /// How long it is followed.
    pub limit: Duration,
    /// How the end is told.
    pub format: Format,
}

/// How following ended.
enum End {
    Verdict(Look),
    OutOfTime,
    Interrupted,
}

/// What is known of a deployment while it is followed.
struct Following<'a> {
    plan: &'a Plan,
    client: &'a Client,
    /// `ecs-svc/…`.
    id: String,
    /// The service deployment's ARN; empty where the server tells none.
    service_deployment: String,
    began_at: Timestamp,
    /// The ids of the events that were there at the last look.
    seen: Vec<String>,
    /// The last look, for what is left on the screen when nobody follows any more.
    last: Option<Look>,
    screen: Screen,
    events: Vec<Value>,
}

impl Plan {
    /// Follows the primary deployment of `after`, the service as it is since the deployment began;
    /// `before` is how it was until then. Leaves it alone once `interrupted`.
    ///
    /// # Errors
    /// [`Exit`] for everything but a deployment that succeeded; if the server is away for too long.
    pub async fn follow(
        &self,
        client: &Client,
        mut interrupted: Signal,
        (before, after): (&Value, &Value),
    ) -> Result<()> {
        let id = primary(after);
        if id.is_empty() {
            anyhow::bail!("the service {} has no deployment", self.named.service);
        }
        let mut seen = Vec::new();
        course::new_events(before, &mut seen);
        let mut following = Following {
            plan: self,
            client,
            id: id.to_owned(),
            service_deployment: text(after, "currentServiceDeployment").to_owned(),
            began_at: SystemClock.now(),
            seen,
            last: None,
            screen: Screen::open(self.format),
            events: Vec::new(),
        };
        let end = tokio::select! {
            biased;
            _ = interrupted.recv() => End::Interrupted,
            looked = tokio::time::timeout(self.limit, following.follow()) => match looked {
                Ok(look) => End::Verdict(look?),
                Err(_) => End::OutOfTime,
            },
        };
        following.screen.close();
        match end {
            End::Verdict(look) => following.tell(look).await,
            End::OutOfTime => following.leave("is not over yet", "STILL_IN_PROGRESS", STILL_GOING),
            End::Interrupted => following.leave("goes on", "NOT_FOLLOWED", INTERRUPTED),
        }
    }
}

/// The id of a service's primary deployment.
pub fn primary(service: &Value) -> &str {
    let mut all = service["deployments"].as_array().into_iter().flatten();
    all.find(|one| text(one, "status") == "PRIMARY").map_or("", |one| text(one, "id"))
}

impl Following<'_> {
    async fn follow(&mut self) -> Result<Look> {
        let mut failed = 0;
        loop {
            match self.look().await {
                Ok(look) if look.verdict.exit_code().is_some() => return Ok(look),
                Ok(_) => failed = 0,
                Err(error) if is_transient(&error) && failed < FAILED_LOOKS_MAX => {
                    failed += 1;
                    if failed == 1 {
                        self.screen.event(&format!("{error:#}; trying again"));
                    }
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&mut self) -> Result<Look> {
        let service = self.plan.named.describe(self.client).await?;
        let deployment = self.service_deployment().await?;
        let named = &self.plan.named;
        let healthy = healthy(self.client, named).await?;
        let told = Told {
            service: &service,
            service_deployment: &deployment,
            healthy: healthy.as_ref(),
            brings: self.last.as_ref().map_or("", |last| &last.brings),
        };
        let look = course::look(told, &self.id, self.plan.wait_for);
        for event in course::new_events(&service, &mut self.seen) {
            self.screen.event(&event_line(event));
            self.events.push(event.clone());
        }
        self.screen.draw(&look, &named.service, SystemClock.now().since(self.began_at));
        self.last = Some(look.clone());
        Ok(look)
    }

    async fn service_deployment(&self) -> Result<Value> {
        if self.service_deployment.is_empty() {
            return Ok(Value::Null);
        }
        let input = json!({"serviceDeploymentArns": [self.service_deployment]});
        let mut answer = ecs(self.client, "DescribeServiceDeployments", &input).await?;
        Ok(answer["serviceDeployments"].get_mut(0).map_or(Value::Null, Value::take))
    }

    /// Tells how the deployment ended, and ends with its code.
    async fn tell(&self, look: Look) -> Result<()> {
        let code = look.verdict.exit_code().unwrap_or_default();
        let causes = match look.verdict {
            Verdict::Failed(_) | Verdict::RolledBack(_) => self.why_tasks_stopped().await,
            _ => Vec::new(),
        };
        let elapsed = SystemClock.now().since(self.began_at);
        match self.plan.format {
            Format::Json => output::json(&self.document(&look, &causes, elapsed))?,
            Format::Text => {
                let lines = end_lines(&look, &self.plan.named.service, elapsed, &causes);
                lines.iter().for_each(|line| say!("{line}"));
            }
        }
        if code == 0 { Ok(()) } else { Err(Exit(code).into()) }
    }

    fn document(&self, look: &Look, causes: &[String], elapsed: Duration) -> Value {
        json!({
            "cluster": self.plan.named.cluster,
            "service": self.plan.named.service,
            "deployment": self.id,
            "serviceDeploymentArn": self.service_deployment,
            "taskDefinition": look.brings,
            "outcome": look.verdict.word(),
            "cause": look.verdict.cause(),
            "tasksStopped": causes,
            "seconds": elapsed.as_secs_f64(),
            "events": self.events,
        })
    }

    /// Why tasks of the deployment stopped; nothing if that cannot be learned.
    async fn why_tasks_stopped(&self) -> Vec<String> {
        let Named { cluster, service } = &self.plan.named;
        tasks::why_stopped(self.client, cluster, service, &self.id).await.unwrap_or_default()
    }

    /// Ends although the deployment goes on.
    fn leave(&self, how: &str, word: &str, code: u8) -> Result<()> {
        let Named { cluster, service } = &self.plan.named;
        let elapsed = SystemClock.now().since(self.began_at).as_secs();
        let again = match cluster.as_str() {
            "default" => format!("longshore deploy {service} --attach"),
            cluster => format!("longshore deploy {service} --cluster {cluster} --attach"),
        };
        match self.plan.format {
            Format::Json => output::json(&json!({
                "cluster": cluster, "service": service, "deployment": self.id, "outcome": word,
                "events": self.events,
            }))?,
            Format::Text => {
                let stands = self.last.as_ref().map(|look| bars::lines(look, service, elapsed));
                stands.into_iter().flatten().for_each(|line| say!("{line}"));
                say!("The deployment {how}; '{again}' follows it again.");
                if !self.service_deployment.is_empty() {
                    say!(
                        "To take it back: aws ecs stop-service-deployment --stop-type ROLLBACK \
                         --service-deployment-arn {}",
                        self.service_deployment
                    );
                }
            }
        }
        Err(Exit(code).into())
    }
}

fn is_transient(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ClientError>().is_some_and(ClientError::is_transient)
}

/// An event as a line: when, and what.
fn event_line(event: &Value) -> String {
    let at = event["createdAt"].as_f64().unwrap_or_default() * 1_000.0;
    format!("{}  {}", Timestamp::from_millis(at as i64), text(event, "message"))
}

/// How a deployment ended, in the lines that are left on the screen.
fn end_lines(look: &Look, service: &str, elapsed: Duration, causes: &[String]) -> Vec<String> {
    let (word, new) = (look.verdict.word(), short(&look.brings));
    let seconds = elapsed.as_secs_f64();
    let what = if new.is_empty() { service.to_owned() } else { format!("{service} → {new}") };
    let mut lines = vec![format!("{word}  {what}  after {seconds:.1} s")];
    match &look.verdict {
        Verdict::Replaced(by) => lines.push(format!("  a newer deployment brings {by}")),
        verdict if verdict.cause().is_empty() => {}
        verdict => lines.push(format!("  {}", verdict.cause())),
    }
    lines.extend(causes.iter().map(|cause| format!("  a task stopped: {cause}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn the_end_is_told_with_its_cause() {
        let told = |verdict, causes: &[String]| {
            let (brings, new) = ("web:12".to_owned(), None);
            let look = Look { desired: 1, brings, new, old: Vec::new(), verdict };
            end_lines(&look, "web", Duration::from_millis(2_540), causes)
        };
        assert_eq!(told(Verdict::Reached, &[]), ["SUCCEEDED  web → web:12  after 2.5 s"]);
        assert_eq!(
            told(Verdict::RolledBack("The circuit broke.".into()), &["app exited with 1".into()]),
            [
                "ROLLED_BACK  web → web:12  after 2.5 s",
                "  The circuit broke.",
                "  a task stopped: app exited with 1",
            ]
        );
        assert_eq!(
            told(Verdict::Replaced("web:13".into()), &[])[1],
            "  a newer deployment brings web:13"
        );
    }

    #[test]
    fn an_event_is_told_with_its_time() {
        let event = json!({"createdAt": 1_700_000_000.5, "message": "(service web) has begun."});
        assert_eq!(event_line(&event), "2023-11-14T22:13:20.500Z  (service web) has begun.");
    }
}
