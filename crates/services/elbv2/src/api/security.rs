//! What listeners with TLS have beside their actions (API reference, `CreateListener`).

use ledger::View;
use shapes_elbv2 as shapes;
use shapes_elbv2::ProtocolEnum;
use vpc::Scope;

use crate::Inner;
use crate::error::Error;
use crate::model::{Secure, Transport, policies};

/// What a request says of TLS.
pub(super) struct Security<'a> {
    pub(super) operation: &'static str,
    /// Whether the listener is a network load balancer's.
    pub(super) is_network: bool,
    pub(super) protocol: Option<ProtocolEnum>,
    pub(super) certificates: Option<&'a [shapes::Certificate]>,
    pub(super) policy: Option<&'a str>,
    pub(super) alpn: Option<&'a [String]>,
    pub(super) mutual: Option<&'a shapes::MutualAuthenticationAttributes>,
}

impl Security<'_> {
    /// What a listener has that had `before`; none if it takes no TLS.
    pub(super) fn over(&self, before: Option<&Secure>) -> Result<Option<Secure>, Error> {
        match self.mutual.and_then(|mutual| mutual.mode.as_deref()) {
            None | Some("off") => {}
            Some(_) => return Err(Error::not_built(self.operation, "MutualAuthentication")),
        }
        let alpn = self.alpn.unwrap_or_default();
        if self.is_network && alpn.iter().any(|policy| policy != "None") {
            return Err(Error::not_built(self.operation, "AlpnPolicy"));
        }
        if !self.is_network && !alpn.is_empty() {
            return Err(Error::Configuration(
                "An ALPN policy cannot be specified for HTTP and HTTPS listeners".to_owned(),
            ));
        }
        let is_secure = match (self.protocol, self.is_network) {
            (None, _) => before.is_some(),
            (Some(ProtocolEnum::Http), false)
            | (Some(ProtocolEnum::Tcp | ProtocolEnum::Udp | ProtocolEnum::TcpUdp), true) => false,
            (Some(ProtocolEnum::Https), false) | (Some(ProtocolEnum::Tls), true) => true,
            (Some(other @ (ProtocolEnum::Quic | ProtocolEnum::TcpQuic)), true) => {
                let what = format!("Protocol {}", other.as_str());
                return Err(Error::not_built(self.operation, what));
            }
            (Some(other), is_network) => {
                return Err(Error::invalid(format!(
                    "Listener protocol '{}' must be one of '{}'",
                    other.as_str(),
                    if is_network { "UDP, TCP, TLS, TCP_UDP" } else { "HTTP, HTTPS" },
                )));
            }
        };
        match is_secure {
            true => self.with_tls(before).map(Some),
            false => self.without_tls().map(|()| None),
        }
    }

    /// What carries bytes to a listener that had `before`.
    pub(super) fn transport(&self, before: Transport) -> Transport {
        match self.protocol {
            None => before,
            Some(ProtocolEnum::Udp) => Transport::Udp,
            Some(ProtocolEnum::TcpUdp) => Transport::Both,
            Some(_) => Transport::Tcp,
        }
    }

    fn without_tls(&self) -> Result<(), Error> {
        let refused = |what| {
            Err(Error::Configuration(format!(
                "{what} for {} listeners",
                if self.is_network { "TCP" } else { "HTTP" }
            )))
        };
        if self.certificates.is_some_and(|all| !all.is_empty()) {
            return refused("Certificates cannot be specified");
        }
        match self.policy {
            Some(_) => refused("An SSL policy cannot be specified"),
            None => Ok(()),
        }
    }

    fn with_tls(&self, before: Option<&Secure>) -> Result<Secure, Error> {
        let protocol = if self.is_network { "TLS" } else { "HTTPS" };
        let certificate = match (self.certificates, before) {
            (Some([only]), _) => one(only)?,
            (None | Some([]), Some(before)) => before.certificate.clone(),
            (None, None) => {
                let text = format!("A certificate must be specified for {protocol} listeners");
                return Err(Error::invalid(text));
            }
            (Some(_), _) => {
                return Err(Error::Configuration(format!(
                    "You must provide a list containing exactly one certificate if the listener \
                     protocol is {protocol}."
                )));
            }
        };
        let usual = || before.map_or(policies::USUAL, |before| before.policy.as_str());
        let policy = self.policy.unwrap_or_else(usual);
        if policies::named(policy).is_none() {
            return Err(Error::Policy(policy.to_owned()));
        }
        let more = before.map(|before| before.more.clone()).unwrap_or_default();
        Ok(Secure { certificate, more, policy: policy.to_owned() })
    }
}

/// The ARN of a certificate that a request names.
pub(super) fn one(certificate: &shapes::Certificate) -> Result<String, Error> {
    if certificate.is_default.is_some() {
        return Err(Error::invalid("You cannot specify 'IsDefault' for a certificate"));
    }
    let arn = certificate.certificate_arn.clone();
    arn.ok_or_else(|| Error::invalid("A certificate ARN must be specified"))
}

impl Inner {
    /// Refuses a certificate that is not there.
    pub(super) fn check_certificate(
        &self,
        view: &impl View,
        scope: &Scope,
        certificate: &str,
    ) -> Result<(), Error> {
        let Scope { account, region } = scope.clone();
        let of_acm = certificates::Scope { account, region };
        match self.certificates.has(view, &of_acm, certificate) {
            true => Ok(()),
            false => Err(Error::Certificate(certificate.to_owned())),
        }
    }
}
