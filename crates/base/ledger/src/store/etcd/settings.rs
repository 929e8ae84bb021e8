//! Where the etcd is, and how a server behaves with it.

use std::fmt;
use std::time::Duration;

use crate::role::Member;

/// The port of etcd's clients, used when an address names none.
const CLIENT_PORT: u16 = 2379;

/// How a server finds and uses the etcd that it shares with others.
#[derive(Clone, Debug)]
pub struct EtcdSettings {
    /// etcd's members, each as `http://HOST:PORT` or `https://HOST:PORT`; at least one.
    pub endpoints: Vec<String>,
    /// What all keys begin with; servers that share a prefix share everything. `/longshore` by
    /// default.
    pub prefix: String,
    /// Who this server is.
    pub member: Member,
    /// How long a leader that falls silent still counts as leading; 2 seconds by default, the
    /// least that etcd grants with its own default settings. Whole seconds.
    pub lease: Duration,
    /// Certificates, for endpoints that begin with `https://`.
    pub tls: Option<EtcdTls>,
    /// User and password, when etcd asks for them.
    pub user: Option<(String, Secret)>,
    /// The size that etcd's database may grow to (`--quota-backend-bytes`), 2 GiB by default as
    /// in etcd. An etcd that tells its own (3.6 and newer) is believed instead.
    pub quota_bytes: u64,
}

/// What a TLS connection to etcd needs, each as the bytes of a PEM file.
#[derive(Clone, Debug, Default)]
pub struct EtcdTls {
    /// The authority that signed etcd's certificates.
    pub ca: Option<Vec<u8>>,
    /// This server's certificate and its key, when etcd asks for one
    /// (`--client-cert-auth`).
    pub identity: Option<(Vec<u8>, Secret)>,
}

/// A text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// An address of an etcd that cannot be understood. The password in it is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the store's address is not etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/PREFIX]: {problem}"
)]
pub struct AddressError {
    problem: &'static str,
}

impl EtcdSettings {
    /// The settings for `endpoints`, all else by default.
    pub fn new(endpoints: Vec<String>, member: Member) -> Self {
        Self {
            endpoints,
            prefix: "/longshore".to_owned(),
            member,
            lease: Duration::from_secs(2),
            tls: None,
            user: None,
            quota_bytes: 2 << 30,
        }
    }

    /// Reads `etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/PREFIX]`; `etcds://` means TLS,
    /// with the system's own authorities unless [`EtcdSettings::tls`] names another. User and
    /// password are taken as they stand, up to the last `@`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn from_address(address: &str, member: Member) -> Result<Self, AddressError> {
        let error = |problem| AddressError { problem };
        let (scheme, rest) = address.split_once("://").ok_or(error("it has no scheme"))?;
        let scheme = match scheme {
            "etcd" => "http",
            "etcds" => "https",
            _ => return Err(error("its scheme is another")),
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (hosts, prefix) = match rest.find('/') {
            Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
            None => (rest, ""),
        };
        let endpoints: Option<Vec<String>> =
            hosts.split(',').map(|host| endpoint(scheme, host.trim())).collect();
        let mut settings = Self::new(endpoints.ok_or(error("it names no host"))?, member);
        if scheme == "https" {
            settings.tls = Some(EtcdTls::default());
        }
        if !prefix.is_empty() {
            settings.prefix = prefix.to_owned();
        }
        if let Some(user) = user {
            let (name, password) = user.split_once(':').ok_or(error("a user needs a password"))?;
            settings.user = Some((name.to_owned(), Secret::new(password)));
        }
        Ok(settings)
    }
}

fn endpoint(scheme: &str, host: &str) -> Option<String> {
    // A bare IPv6 address stands in brackets, so a colon behind the last bracket is a port's.
    let after_address = host.rfind(']').map_or(host, |at| &host[at..]);
    match host {
        "" => None,
        _ if host.starts_with(':') => None,
        _ if after_address.contains(':') => Some(format!("{scheme}://{host}")),
        _ => Some(format!("{scheme}://{host}:{CLIENT_PORT}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(address: &str) -> Result<EtcdSettings, AddressError> {
        let member = Member { name: "a".to_owned(), url: "http://a".to_owned() };
        EtcdSettings::from_address(address, member)
    }

    #[test]
    fn addresses_name_endpoints_users_and_prefixes() {
        let check =
            |address: &str, endpoints: &[&str], prefix: &str, user: Option<(&str, &str)>| {
                let read = read(address).unwrap();
                assert_eq!(read.endpoints, endpoints, "{address}");
                assert_eq!(read.prefix, prefix, "{address}");
                let found =
                    read.user.as_ref().map(|(name, secret)| (name.as_str(), secret.reveal()));
                assert_eq!(found, user, "{address}");
                assert_eq!(read.tls.is_some(), address.starts_with("etcds"), "{address}");
            };
        check("etcd://one", &["http://one:2379"], "/longshore", None);
        check("etcd://one:1,two", &["http://one:1", "http://two:2379"], "/longshore", None);
        check("etcds://[::1]:5", &["https://[::1]:5"], "/longshore", None);
        check("etcds://[::1]", &["https://[::1]:2379"], "/longshore", None);
        check("etcd://one/a/b/", &["http://one:2379"], "/a/b", None);
        check("etcd://u:p@x:y@one", &["http://one:2379"], "/longshore", Some(("u", "p@x:y")));
    }

    #[test]
    fn other_texts_are_refused_without_the_password() {
        for address in ["", "one:2379", "http://one", "etcd://", "etcd://a,,b", "etcd://root@one"] {
            let error = read(address).unwrap_err();
            assert!(error.to_string().starts_with("the store's address is not"), "{error}");
        }
        let secret = format!("{:?}", read("etcd://u:hush@one").unwrap());
        assert!(!secret.contains("hush"), "{secret}");
    }
}
