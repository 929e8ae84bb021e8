//! Whose request is worked on next when the processors are what is short (decision 0063).
//!
//! A seat is held while a request waits for the disk, so there are many. But what takes the
//! processor runs to its end when it is reached, and the runtime reaches connections one after the
//! other: a client with a thousand of them gets a thousand times what a client with one gets, and
//! no seat is ever short. So each request first says that it is there, lets the runtime look at
//! all others that have come, and is begun in the turn of its client. Its turn is over when it has
//! to wait for something.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::seats::{ClientKey, Seats};
use crate::edge::SeatLimits;

/// The turns at the processors.
#[derive(Debug)]
pub(crate) struct Turns(Mutex<Seats<oneshot::Sender<Turn>>>);

/// The right to use a processor; the next in turn has it when it is dropped.
#[derive(Debug)]
struct Turn(Arc<Turns>, ClientKey);

impl Turns {
    /// For so many processors. Those who wait have seats, so their number is bounded.
    pub(crate) fn new(processors: usize) -> Self {
        Self(Mutex::new(Seats::new(SeatLimits {
            seats: processors,
            seats_per_client: processors,
            waiting: usize::MAX,
            waiting_per_client: usize::MAX,
            wait: Duration::MAX,
        })))
    }

    /// Turns that are taken, and requests that wait for one.
    #[cfg(test)]
    fn occupancy(&self) -> (usize, usize) {
        let turns = self.0.lock();
        (turns.in_use(), turns.waiting())
    }

    /// Does `work` from the client's turn on; until it first waits, nobody else has the turn.
    pub(crate) async fn work<F: Future>(
        self: &Arc<Self>,
        client: &ClientKey,
        work: F,
    ) -> F::Output {
        let mut turn = self.turn(client).await;
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let polled = work.as_mut().poll(context);
            turn = None;
            match polled {
                Poll::Ready(output) => Poll::Ready(output),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    async fn turn(self: &Arc<Self>, client: &ClientKey) -> Option<Turn> {
        let (sender, receiver) = oneshot::channel();
        let ticket = self.0.lock().line_up(client, sender);
        let waiting = Waiting { turns: self, client, ticket, receiver };
        // All that the runtime knows of runs before this goes on, and lines up as well.
        tokio::task::yield_now().await;
        self.grant();
        waiting.turn().await
    }

    /// Gives a free turn to whose it is.
    fn grant(self: &Arc<Self>) {
        let next = self.0.lock().next();
        if let Some((client, waiter)) = next {
            // One that has just given up drops the turn, which goes to the next.
            let _ = waiter.send(Turn(self.clone(), client));
        }
    }
}

/// A request in line; leaves it when dropped.
struct Waiting<'t> {
    turns: &'t Arc<Turns>,
    client: &'t ClientKey,
    ticket: u64,
    receiver: oneshot::Receiver<Turn>,
}

impl Waiting<'_> {
    async fn turn(mut self) -> Option<Turn> {
        // The sender goes only with the line.
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // A turn that came meanwhile is in the channel, and given up with it.
        self.turns.0.lock().abandon(self.client, self.ticket);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.0.0.lock().leave(&self.1);
        if let Some((client, waiter)) = next {
            let _ = waiter.send(Turn(self.0.clone(), client));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    async fn served(requests: &[&str], until: usize) -> Vec<String> {
        let turns = Arc::new(Turns::new(1));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for client in requests {
            let (turns, order, client) = (turns.clone(), order.clone(), ClientKey::from(*client));
            tasks.spawn(async move {
                turns.work(&client, async { order.lock().push(client.to_string()) }).await;
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        assert_eq!(turns.occupancy(), (0, 0));
        let order = order.lock();
        assert_eq!(order.len(), requests.len());
        order[..until].to_vec()
    }

    #[tokio::test]
    async fn many_connections_give_no_more_turns() {
        let mut requests = vec!["greedy"; 100];
        requests.extend(["a", "b", "a"]);
        let order = served(&requests, 5).await;
        assert_eq!(order, ["greedy", "a", "b", "greedy", "a"]);
    }

    #[tokio::test]
    async fn a_turn_ends_with_the_first_wait() {
        let turns = Arc::new(Turns::new(1));
        let (waits, released) = oneshot::channel::<()>();
        let slow = tokio::spawn({
            let turns = turns.clone();
            async move { turns.work(&"slow".into(), released).await }
        });
        turns.work(&"quick".into(), async {}).await;
        waits.send(()).unwrap();
        slow.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_turn_to_others() {
        let turns = Arc::new(Turns::new(1));
        let key = ClientKey::from("a");
        let held = turns.turn(&key).await;
        let gone = tokio::spawn({
            let turns = turns.clone();
            async move { turns.work(&"b".into(), async {}).await }
        });
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        drop(held);
        turns.work(&key, async {}).await;
        assert_eq!(turns.occupancy(), (0, 0));
    }
}
