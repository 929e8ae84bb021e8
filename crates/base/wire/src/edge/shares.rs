//! Room that clients share, before it is known who they are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header;
use http::request::Parts;
use parking_lot::Mutex;

/// Of four parts of the room, one client may hold so many: a part is always left for others.
const PARTS_OF_ONE: usize = 3;

/// Places that are held by clients. Clones are the same room.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    places: usize,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    of: HashMap<String, usize>,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    client: String,
}

impl Shares {
    pub(super) fn new(places: usize) -> Self {
        Self { places, held: Arc::default() }
    }

    /// A place, if there is one for this client.
    pub(super) fn take(&self, client: String) -> Option<Share> {
        let mut held = self.held.lock();
        let own = held.of.get(&client).copied().unwrap_or(0);
        if held.all >= self.places || own >= self.places / 4 * PARTS_OF_ONE {
            return None;
        }
        held.all += 1;
        held.of.insert(client.clone(), own + 1);
        drop(held);
        Some(Share { shares: self.clone(), client })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock();
        held.all -= 1;
        if let Some(own) = held.of.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                held.of.remove(&self.client);
            }
        }
    }
}

/// Who a request seems to come from: the access key that it names, and the address. Nothing of it
/// is verified here, so a stranger who names somebody's key holds a share of its own.
pub(super) fn client_of(parts: &Parts, source: Option<SocketAddr>) -> String {
    let signed = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let named = signed.and_then(|text| text.split_once("Credential=")).map_or("", |(_, rest)| rest);
    let key: String = named.chars().take_while(|c| c.is_ascii_alphanumeric()).take(128).collect();
    let address = source.map(|source| source.ip().to_string()).unwrap_or_default();
    format!("{key} {address}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_a_part_to_others() {
        let shares = Shares::new(8);
        let take = |client: &str| shares.take(client.to_owned());
        let mut greedy: Vec<_> = (0..6).map(|_| take("greedy").unwrap()).collect();
        assert!(take("greedy").is_none());
        let others = [take("one").unwrap(), take("other").unwrap()];
        assert!(take("third").is_none(), "all places are held");
        greedy.pop();
        assert!(take("third").is_some());
        assert!(take("greedy").is_some());
        drop((greedy, others));
        let held = shares.held.lock();
        assert_eq!((held.all, held.of.len()), (0, 0));
    }

    #[test]
    fn clients_are_told_apart_by_key_and_address() {
        let client = |signed: Option<&str>, source: &str| {
            let mut request = http::Request::builder();
            if let Some(signed) = signed {
                request = request.header(header::AUTHORIZATION, signed);
            }
            let parts = request.body(()).unwrap().into_parts().0;
            client_of(&parts, source.parse().ok())
        };
        let signed = "AWS4-HMAC-SHA256 Credential=AKIA1/20250101/us-east-1/ecs/aws4_request, …";
        assert_eq!(client(Some(signed), "10.0.0.1:5"), " 10.0.0.1");
        let signed = signed.trim_end_matches('…');
        assert_eq!(client(Some(signed), "10.0.0.1:5"), "AKIA1 10.0.0.1");
        assert_eq!(client(None, "10.0.0.1:5"), " 10.0.0.1");
        assert_eq!(client(None, ""), " ");
    }
}
