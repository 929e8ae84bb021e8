//! A ledger with networks, and an edge over it.

use std::sync::Arc;

use http::{Method, Request};
use ledger::{Ledger, MemoryStore, Schema};
use stage::{CountedIds, HeldClock};
use terms::Region;
use vpc::{Interface, NewInterface, Scope, Subnet, SubnetFull, Tables, Vpc};
use wire::Edge;

/// Names the service; nobody checks the signature.
const SCOPE: &str = "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/ec2/aws4_request, \
    SignedHeaders=host, Signature=0000000000000000000000000000000000000000000000000000000000000000";

pub struct World {
    pub tables: Tables,
    pub ledger: Ledger,
    pub scope: Scope,
    pub edge: Edge,
}

impl World {
    /// Networks whose ids begin to count at `seed`.
    pub fn new(seed: u64) -> Self {
        let mut schema = Schema::new();
        let tables = Tables::declare(&mut schema);
        let (clock, ids) = (HeldClock::default(), Arc::new(CountedIds::from(seed)));
        let store = Box::new(MemoryStore::new());
        let ledger = Ledger::open(schema, store, Arc::new(clock.clone()), ids).unwrap();
        let (account, region) =
            ("123456789012".parse().unwrap(), "us-east-1".parse::<Region>().unwrap());
        let scope = Scope { account, region };
        let vpc = Vpc::new(tables, ledger.clone());
        let edge = stage::edge(&clock).service(vpc.service()).build();
        Self { tables, ledger, scope, edge }
    }

    /// The subnets that these ids name.
    pub fn subnets(&self, ids: &[String]) -> Vec<Subnet> {
        let snapshot = self.ledger.snapshot();
        self.tables.resolve(&snapshot, &self.scope, ids, &[]).unwrap().subnets
    }

    /// Every subnet, by asking as a client does.
    pub async fn all_subnets(&self) -> Vec<Subnet> {
        let text = self.ask("Action=DescribeSubnets&Version=2016-11-15").await.1;
        let ids = text.split("<subnetId>").skip(1);
        let ids: Vec<String> = ids.map(|rest| rest.split('<').next().unwrap().to_owned()).collect();
        self.subnets(&ids)
    }

    /// A new interface, in a transaction of its own.
    pub async fn attach(
        &self,
        subnet: &Subnet,
        description: &str,
    ) -> Result<Interface, SubnetFull> {
        let new = NewInterface {
            groups: self
                .tables
                .resolve(&self.ledger.snapshot(), &self.scope, &[], &[])
                .unwrap()
                .groups,
            description: description.to_owned(),
            instance: Some("i-0123456789abcdef0".to_owned()),
            tags: vec![("team".to_owned(), "blue & white".to_owned())],
        };
        let made = self
            .ledger
            .transact("attach", |tx| self.tables.attach(tx, &self.scope, subnet, new.clone()));
        match made.await {
            Ok(committed) => Ok(committed.value),
            Err(ledger::TransactError::Rejected(full)) => Err(full),
            Err(ledger::TransactError::Ledger(error)) => panic!("{error}"),
        }
    }

    /// Gives an interface back.
    pub async fn release(&self, id: &str) {
        let gone = self.ledger.transact("release", |tx| {
            self.tables.release(tx, &self.scope, id);
            Ok::<_, SubnetFull>(())
        });
        gone.await.unwrap();
    }

    /// Status and body of a call with this form.
    pub async fn ask(&self, form: &str) -> (u16, String) {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("authorization", SCOPE)
            .header("x-amz-date", "20260102T030405Z")
            .body(wire::Body::from(form.to_owned()))
            .unwrap();
        let answer = self.edge.handle(request, None).await;
        let status = answer.status().as_u16();
        assert_eq!(answer.headers()["content-type"], "text/xml;charset=UTF-8");
        let body = answer.into_body().collect(16 * 1024 * 1024).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}
