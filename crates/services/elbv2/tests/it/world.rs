//! A ledger with load balancers, and an edge over it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use certificates::{Certificates, Hidden, Issued, Issuer, KeyKind};
use elbv2::{Elb, ElbSetup, Instances, Tables};
use http::{Method, Request};
use ledger::{Ledger, MemoryStore, Schema, SecretsKeys};
use stage::{CountedIds, HeldClock};
use terms::Timestamp;
use vpc::Scope;
use wire::{Edge, EdgeBuilder};

/// Names the service; nobody checks the signature.
const SCOPE: &str = "AWS4-HMAC-SHA256 \
    Credential=AKID/20260102/us-east-1/elasticloadbalancing/aws4_request, SignedHeaders=host, \
    Signature=0000000000000000000000000000000000000000000000000000000000000000";

/// The only instance.
const INSTANCE: &str = "i-0123456789abcdef0";

struct OneInstance;

impl Instances for OneInstance {
    fn address(&self, _: &Scope, instance: &str) -> Option<IpAddr> {
        (instance == INSTANCE).then_some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)))
    }
}

/// Issues certificates that are signed by their own keys.
struct Authority;

impl Issuer for Authority {
    fn issue(&self, names: &[String], _: KeyKind, _: Timestamp) -> Result<Issued, String> {
        let made = rcgen::generate_simple_self_signed(names.to_vec()).unwrap();
        let certificate = made.cert.pem();
        let key = Hidden::new(made.signing_key.serialize_pem());
        Ok(Issued { chain: certificate.clone(), certificate, key })
    }
}

/// What is made, how calls name it, and where answers tell its ARN.
const MADE: [(&str, &str, &str); 4] = [
    ("Action=CreateLoadBalancer&", "$LB", "LoadBalancerArn"),
    ("Action=CreateTargetGroup&", "$TG", "TargetGroupArn"),
    ("Action=CreateListener&", "$LISTENER", "ListenerArn"),
    ("Action=CreateRule&", "$RULE", "RuleArn"),
];

pub struct World {
    edge: Edge,
    pub elb: Elb,
    /// The ARNs of what was made, by the names of [`MADE`] with their numbers, as in `$LB1`.
    made: Mutex<BTreeMap<String, String>>,
}

impl World {
    /// Nothing but networks.
    pub fn new() -> Self {
        let mut schema = Schema::new();
        let vpc = vpc::Tables::declare(&mut schema);
        let certificates = certificates::Tables::declare(&mut schema);
        let tables = Tables::declare(&mut schema);
        let keys = SecretsKeys::new(&[[7_u8; 32]]).unwrap();
        schema.seal_secrets(Arc::new(keys));
        let (clock, ids) = (HeldClock::default(), Arc::new(CountedIds::from(1)));
        let store = Box::new(MemoryStore::new());
        let ledger = Ledger::open(schema, store, Arc::new(clock.clone()), ids).unwrap();
        let setup = ElbSetup { vpc, certificates, instances: Arc::new(OneInstance) };
        let elb = Elb::new(tables, ledger.clone(), setup);
        let users = Arc::new(elb.clone());
        let of_acm = Certificates::new(certificates, ledger, Arc::new(Authority), users);
        let edge = stage::edge(&clock).service(elb.service()).service(of_acm.service());
        let edge = elb.routes().into_iter().fold(edge, EdgeBuilder::route).build();
        Self { edge, elb, made: Mutex::default() }
    }

    /// The edge itself.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Makes a certificate, `$CERT1` for the first one.
    pub async fn certificate(&self, domain: &str) {
        let input = format!(r#"{{"DomainName":"{domain}"}}"#);
        let (status, body) = self.ask_acm("RequestCertificate", &input).await;
        assert_eq!(status, 200, "{body}");
        let arn = body.split('"').nth(3).unwrap().to_owned();
        let mut made = self.made.lock().unwrap();
        let number = made.keys().filter(|key| key.starts_with("$CERT")).count() + 1;
        made.insert(format!("$CERT{number}"), arn);
    }

    /// Status and body of a call of ACM's.
    pub async fn ask_acm(&self, operation: &str, input: &str) -> (u16, String) {
        let mut input = input.to_owned();
        for (name, arn) in self.made.lock().unwrap().iter().rev() {
            input = input.replace(name, arn);
        }
        stage::ask_json(&self.edge, &format!("CertificateManager.{operation}"), &input).await
    }

    /// Status and body of a call with this form, to which the version is added. `@NAME` in it is an
    /// ARN of the account's, as `@loadbalancer/app/web/1`; `$LB1` the ARN of what was made first.
    pub async fn ask(&self, wanted: &str) -> (u16, String) {
        let mut form = wanted.replace('@', "arn:aws:elasticloadbalancing:us-east-1:123456789012:");
        for (name, arn) in self.made.lock().unwrap().iter().rev() {
            form = form.replace(name, arn);
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("authorization", SCOPE)
            .header("x-amz-date", "20260102T030405Z")
            .body(wire::Body::from(format!("{form}&Version=2015-12-01")))
            .unwrap();
        let answer = self.edge.handle(request, None).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect(16 * 1024 * 1024).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        if status == 200 {
            self.remember(wanted, &body);
        }
        (status, body)
    }

    fn remember(&self, form: &str, body: &str) {
        for (call, name, element) in MADE {
            if !form.starts_with(call) {
                continue;
            }
            let arn = body.split(&format!("<{element}>")).nth(1).unwrap();
            let arn = arn.split('<').next().unwrap().to_owned();
            let mut made = self.made.lock().unwrap();
            let is_of_kind = |key: &&String| key.starts_with(name);
            let number = made.keys().filter(is_of_kind).count() + 1;
            if !made.values().any(|known| *known == arn) {
                made.insert(format!("{name}{number}"), arn);
            }
        }
    }
}
