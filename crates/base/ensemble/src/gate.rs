//! Where a request is answered, by what the ledger knows of the leadership.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ledger::{Leadership, Ledger, Member, watch};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use wire::{Ask, Gate, Need, Passage, Unavailable, need_by_name};

/// How many requests may be held at once until it is known who leads; others are refused at once.
const HELD_MAX: usize = 1_024;
/// A held request looks again after this long, even if nothing was told.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a request of another server is held: until this one knows what that one knew.
const OF_OTHERS: Duration = Duration::from_millis(300);
/// What refused clients are advised to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What DescribeContainerInstances reads from the leader's memory, and not from the ledger.
const HEALTH: &[u8] = b"CONTAINER_INSTANCE_HEALTH";

/// The gate of a server that shares its ledger.
pub struct LedgerGate {
    ledger: Ledger,
    name: String,
    leadership: watch::Receiver<Leadership>,
    held: Semaphore,
    term: Mutex<Term>,
    shutdown: CancellationToken,
}

/// The server that leads, and what ends when it does so no more.
struct Term {
    leader: Option<Member>,
    end: CancellationToken,
}

impl LedgerGate {
    /// The gate of the server named `name`. What goes through it to a leader ends when another
    /// leads, or at `shutdown`.
    pub fn new(ledger: Ledger, name: String, shutdown: CancellationToken) -> Arc<Self> {
        let leadership = ledger.leadership();
        let leader = leader_of(&leadership.borrow());
        let term = Mutex::new(Term { leader, end: shutdown.child_token() });
        let held = Semaphore::new(HELD_MAX);
        Arc::new(Self { ledger, name, leadership, held, term, shutdown })
    }

    /// Ends what goes to a server that leads no more, until shutdown.
    pub async fn watch(&self) {
        let mut leadership = self.leadership.clone();
        loop {
            let leader = leader_of(&leadership.borrow_and_update());
            self.change(leader);
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                changed = leadership.changed() => if changed.is_err() { return },
            }
        }
    }

    fn change(&self, leader: Option<Member>) {
        let mut term = self.term.lock();
        if term.leader != leader {
            term.end.cancel();
            *term = Term { leader, end: self.shutdown.child_token() };
        }
    }

    /// What ends with the leadership of `leader`; none if another leads by now.
    fn end_of(&self, leader: &Member) -> Option<CancellationToken> {
        let term = self.term.lock();
        (term.leader.as_ref() == Some(leader)).then(|| term.end.clone())
    }

    /// Passes when the snapshot holds all that was acknowledged anywhere.
    async fn view(&self, ask: &Ask<'_>) -> Passage {
        let mut permit = None;
        loop {
            let reason = match timeout_at(ask.until, self.ledger.current()).await {
                Ok(Ok(_)) => return Passage::Here,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the store does not answer in time".to_owned(),
            };
            if !self.hold(&mut permit) {
                return crowded();
            }
            let again = Instant::now() + LOOK_AGAIN;
            if again >= ask.until {
                tracing::warn!(reason, "a read cannot be answered");
                return shut("The state cannot be read from the store now; try again.");
            }
            tokio::time::sleep_until(again).await;
        }
    }

    /// Passes on the leader, and tells others where it is.
    async fn lead(&self, ask: &Ask<'_>) -> Passage {
        let mut leadership = self.leadership.clone();
        let (mut permit, mut unreachable) = (None, ask.unreachable);
        // Another server holds what it sent here, and knows at least as well who leads.
        let until = match ask.through {
            [] => ask.until,
            _ => ask.until.min(Instant::now() + OF_OTHERS),
        };
        loop {
            let known = leadership.borrow_and_update().clone();
            match known {
                // A leader that was stopped for a while may not know yet that another leads.
                Leadership::Leading => {
                    if let Ok(Ok(())) = timeout_at(ask.until, self.ledger.confirm_leading()).await
                        && leadership.borrow().is_leading()
                    {
                        return Passage::Here;
                    }
                }
                Leadership::Following { leader: Some(leader) }
                    if ask.through.contains(&leader.name.as_str()) =>
                {
                    return shut("The server that sent this here leads by now.");
                }
                Leadership::Following { leader: Some(leader) } => {
                    let is_usable =
                        leader.name != self.name && unreachable != Some(leader.url.as_str());
                    if let Some(end) = is_usable.then(|| self.end_of(&leader)).flatten() {
                        return Passage::Onward { url: leader.url, end };
                    }
                }
                Leadership::Following { leader: None } => {}
            }
            if !self.hold(&mut permit) {
                return crowded();
            }
            if Instant::now() >= until {
                return shut("No server leads at the moment; try again.");
            }
            let again = until.min(Instant::now() + LOOK_AGAIN);
            let _ = timeout_at(again, leadership.changed()).await;
            // It may have come back by now; if not, the request comes here again.
            unreachable = None;
        }
    }

    /// Takes one of the places of requests that wait, unless it has one already.
    fn hold<'a>(&'a self, permit: &mut Option<SemaphorePermit<'a>>) -> bool {
        if permit.is_none() {
            *permit = self.held.try_acquire().ok();
        }
        permit.is_some()
    }
}

#[async_trait]
impl Gate for LedgerGate {
    fn name(&self) -> &str {
        &self.name
    }

    fn need_of(&self, service: &str, operation: &str, input: &[u8]) -> Need {
        let asks_for_health = service == "ecs"
            && operation == "DescribeContainerInstances"
            && input.windows(HEALTH.len()).any(|window| window == HEALTH);
        // Streams and their events lie with the server that leads.
        let is_in_log_store =
            service == "logs" && matches!(operation, "GetLogEvents" | "DescribeLogStreams");
        // That an image was pulled is written down.
        let is_noted = service == "ecr" && operation == "BatchGetImage";
        if service == "cloudtrail" {
            // Each server has a trail, and asks the others for theirs.
            return Need::View;
        }
        match asks_for_health || is_in_log_store || is_noted {
            true => Need::Lead,
            false => need_by_name(operation),
        }
    }

    async fn pass(&self, ask: Ask<'_>) -> Passage {
        match ask.need {
            Need::Nothing => Passage::Here,
            Need::View => self.view(&ask).await,
            Need::Lead => self.lead(&ask).await,
        }
    }
}

fn leader_of(leadership: &Leadership) -> Option<Member> {
    match leadership {
        Leadership::Leading => None,
        Leadership::Following { leader } => leader.clone(),
    }
}

fn crowded() -> Passage {
    shut("Too many requests wait until a server leads; try again.")
}

fn shut(message: &str) -> Passage {
    Passage::Shut(Unavailable { message: message.to_owned(), retry_after: RETRY_AFTER })
}
