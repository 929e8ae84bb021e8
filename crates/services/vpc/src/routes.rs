//! The path that `longshore status` asks.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use wire::{Body, Route, RouteAuth};

use crate::Vpc;
use crate::model::{DefaultVpc, Subnet};
use crate::tables::Scope;

/// The caller's default VPC with its subnets and its default security group.
pub(crate) fn network(vpc: &Vpc) -> Route {
    let vpc = vpc.clone();
    Route::new("/_longshore/network", RouteAuth::Signed("ecs"), move |request| {
        let caller = request.caller.as_ref();
        let scope = caller
            .map(|caller| Scope { account: caller.account.clone(), region: caller.region.clone() });
        let answer = match scope {
            Some(scope) => respond(StatusCode::OK, &vpc.shown(&scope)),
            None => respond(StatusCode::FORBIDDEN, &json!({"message": "nobody calls"})),
        };
        std::future::ready(answer)
    })
    .reads()
}

impl Vpc {
    fn shown(&self, scope: &Scope) -> Value {
        let (vpc, snapshot) = (DefaultVpc::of(scope), self.ledger.snapshot());
        let subnet = |subnet: &Subnet| {
            json!({
                "subnetId": subnet.id,
                "availabilityZone": subnet.zone,
                "cidrBlock": subnet.cidr.to_string(),
                "availableIpAddressCount": self.tables.free_addresses(&snapshot, scope, subnet),
            })
        };
        json!({
            "vpcId": vpc.vpc.id,
            "cidrBlock": vpc.vpc.cidr.to_string(),
            "subnets": vpc.subnets.iter().map(subnet).collect::<Vec<_>>(),
            "securityGroupId": vpc.group.id,
        })
    }
}

fn respond(status: StatusCode, told: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(told.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
