//! The load balancer's own cookies: which group and which target a client stays with (Application
//! Load Balancer guide, "Sticky sessions"). Their values are sealed; only data planes with the same
//! key read them. Without one from elsewhere this process makes one, and clients choose anew after it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use terms::Timestamp;

/// The cookie of a target.
const TARGET: &str = "AWSALB";
/// The cookie of a group.
const GROUP: &str = "AWSALBTG";
/// The cookie of a target that an application's own cookie goes with.
const APPLICATION: &str = "AWSALBAPP-0";
/// The same again, for pages inside other sites' pages.
const ELSEWHERE: &str = "CORS";
/// What clients are told to keep cookies for, whatever the stickiness lasts.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The key of a load balancer's cookies, never printed. Data planes that have the same one read each
/// other's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CookieKey([u8; 32]);

impl CookieKey {
    /// A new one.
    pub fn random() -> Self {
        let mut key = [0; 32];
        SystemRandom::new().fill(&mut key).expect("the system has chance to give");
        Self(key)
    }

    fn opened(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &self.0);
        LessSafeKey::new(key.expect("the key is as long as it has to be"))
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey(…)")
    }
}

/// Seals and opens cookies.
pub(crate) struct Cookies {
    key: ArcSwap<LessSafeKey>,
    random: SystemRandom,
}

/// What a client's cookies say.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// Group, and how long ago.
    group: Option<(String, Duration)>,
    /// Group and target, and how long ago.
    target: Option<(String, Duration)>,
    /// The same, with an application's cookie.
    application: Option<(String, Duration)>,
}

/// Whether a request has a cookie of this name.
pub(super) fn has(headers: &HeaderMap, name: &str) -> bool {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = values.flat_map(|value| value.split(';'));
    cookies.any(|cookie| cookie.trim().split_once('=').is_some_and(|(known, _)| known == name))
}

impl Pins {
    /// The group that the client stays with, for this long.
    pub(super) fn group_within(&self, sticky: Option<Duration>) -> Option<&str> {
        let (group, age) = self.group.as_ref()?;
        (*age <= sticky?).then_some(group)
    }

    /// The mark of the target of this group that the client stays with, for this long.
    pub(super) fn target_within(&self, sticky: Option<Duration>, group: &str) -> Option<&str> {
        of_group(&self.target, sticky?, group)
    }

    /// The same, by the cookie that goes with an application's.
    pub(super) fn app_target_within(&self, lasts: Duration, group: &str) -> Option<&str> {
        of_group(&self.application, lasts, group)
    }
}

fn of_group<'a>(
    pin: &'a Option<(String, Duration)>,
    lasts: Duration,
    group: &str,
) -> Option<&'a str> {
    let (name, age) = pin.as_ref()?;
    let mark = name.strip_prefix(group)?.strip_prefix(' ')?;
    (*age <= lasts).then_some(mark)
}

impl Cookies {
    /// With a key of their own.
    pub(crate) fn new() -> Self {
        let key = ArcSwap::from_pointee(CookieKey::random().opened());
        Self { key, random: SystemRandom::new() }
    }

    /// Seals and opens with this key from now on.
    pub(crate) fn use_key(&self, key: &CookieKey) {
        self.key.store(Arc::new(key.opened()));
    }

    /// What a request's cookies say; one that this did not seal says nothing.
    pub(super) fn read(&self, headers: &HeaderMap, now: Timestamp) -> Pins {
        let mut pins = Pins::default();
        let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        for cookie in values.flat_map(|value| value.split(';')) {
            let Some((name, value)) = cookie.trim().split_once('=') else { continue };
            let plain = name.strip_suffix(ELSEWHERE).unwrap_or(name);
            let pin = match plain {
                TARGET => &mut pins.target,
                GROUP => &mut pins.group,
                APPLICATION => &mut pins.application,
                _ => continue,
            };
            if pin.is_none() {
                *pin = self.open(plain, value, now);
            }
        }
        pins
    }

    /// Sets the cookies of an answer: the group's if clients stay with it, the target's if it is
    /// named.
    pub(super) fn write(
        &self,
        headers: &mut HeaderMap,
        (group, stays): (&str, bool),
        target: Option<String>,
        now: Timestamp,
    ) {
        if stays {
            self.set(headers, GROUP, group, now);
        }
        if let Some(target) = target {
            self.set(headers, TARGET, &format!("{group} {target}"), now);
        }
    }

    /// Sets the cookie that goes with an application's, if the answer sets that one.
    pub(super) fn follow(
        &self,
        headers: &mut HeaderMap,
        name: &str,
        (group, target): (&str, &str),
        now: Timestamp,
    ) {
        let sets = |value: &HeaderValue| {
            let text = value.to_str().ok();
            text.and_then(|text| text.split_once('=')).is_some_and(|(set, _)| set.trim() == name)
        };
        if !headers.get_all(SET_COOKIE).iter().any(sets) {
            return;
        }
        if let Some(value) = self.seal(APPLICATION, &format!("{group} {target}"), now) {
            append(headers, &format!("{APPLICATION}={value}; Expires={}; Path=/", expiry(now)));
        }
    }

    fn set(&self, headers: &mut HeaderMap, name: &str, says: &str, now: Timestamp) {
        let Some(value) = self.seal(name, says, now) else { return };
        let expires = expiry(now);
        let plain = format!("{name}={value}; Expires={expires}; Path=/");
        let elsewhere =
            format!("{name}{ELSEWHERE}={value}; Expires={expires}; Path=/; SameSite=None; Secure");
        append(headers, &plain);
        append(headers, &elsewhere);
    }

    /// `says` and when it was said, for a cookie of this name alone.
    fn seal(&self, name: &str, says: &str, now: Timestamp) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = now.millis().to_be_bytes().to_vec();
        sealed.extend_from_slice(says.as_bytes());
        let (once, name) = (Nonce::assume_unique_for_key(nonce), Aad::from(name.as_bytes()));
        self.key.load().seal_in_place_append_tag(once, name, &mut sealed).ok()?;
        Some(STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    fn open(&self, name: &str, value: &str, now: Timestamp) -> Option<(String, Duration)> {
        let mut sealed = STANDARD.decode(value).ok()?;
        let (nonce, sealed) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened =
            self.key.load().open_in_place(nonce, Aad::from(name.as_bytes()), sealed).ok()?;
        let (said_at, says) = opened.split_first_chunk()?;
        let said_at = Timestamp::from_millis(i64::from_be_bytes(*said_at));
        Some((String::from_utf8(says.to_vec()).ok()?, now.since(said_at)))
    }
}

/// Until when clients keep cookies.
fn expiry(now: Timestamp) -> String {
    let millis = u64::try_from(now.millis()).unwrap_or_default();
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(millis) + KEPT)
}

fn append(headers: &mut HeaderMap, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        headers.append(SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_here_for_this_cookie_is_believed() {
        let (cookies, others) = (Cookies::new(), Cookies::new());
        let now = Timestamp::from_millis(1_000_000);
        let later = now + Duration::from_secs(60);
        let sealed = cookies.seal(TARGET, "blue 10.0.0.1:80", now).expect("it can be sealed");
        let read = |cookies: &Cookies, name: &str, value: &str| {
            let mut headers = HeaderMap::new();
            let text = format!("a=b; {name}={value}");
            headers.insert(COOKIE, text.parse().expect("a header"));
            let pins = cookies.read(&headers, later);
            let target = pins.target_within(Some(Duration::from_secs(60)), "blue");
            target.map(str::to_owned)
        };
        let target = Some("10.0.0.1:80".to_owned());
        assert_eq!(read(&cookies, "AWSALB", &sealed), target);
        assert_eq!(read(&cookies, "AWSALBCORS", &sealed), target);
        assert_eq!(read(&cookies, "AWSALBTG", &sealed), None);
        assert_eq!(read(&others, "AWSALB", &sealed), None);
        let key = CookieKey::random();
        cookies.use_key(&key);
        others.use_key(&key);
        let sealed = cookies.seal(TARGET, "blue 10.0.0.1:80", now).expect("it can be sealed");
        assert_eq!(read(&others, "AWSALB", &sealed), target);
        assert_eq!(read(&cookies, "AWSALB", "nonsense"), None);
        let pins =
            Pins { target: Some(("blue x".to_owned(), Duration::from_secs(2))), ..Pins::default() };
        assert_eq!(pins.target_within(Some(Duration::from_secs(1)), "blue"), None);
        assert_eq!(pins.target_within(None, "blue"), None);
        assert_eq!(pins.target_within(Some(Duration::from_secs(2)), "green"), None);
    }
}
