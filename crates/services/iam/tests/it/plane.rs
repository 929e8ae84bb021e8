//! An edge with IAM and STS alone, and who calls it.

use std::sync::Arc;

use http::Request;
use iam::Iam;
use terms::Clock;
use wire::sigv4::{Credentials, Signer, sign};
use wire::{Body, Edge, Secret, Service};

use super::{World, world};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The plane, and the administrator's key.
pub(crate) struct Plane {
    pub(crate) world: World,
    edge: Edge,
    pub(crate) administrator: Credentials,
}

pub(crate) async fn plane() -> Plane {
    let world = world().await;
    let iam: &Iam = &world.iam;
    let edge =
        Edge::builder(Arc::new(iam.clone()), Arc::new(world.clock.clone()), world.ids.clone())
            .service(iam.sts())
            .service(iam.service())
            .service(networks())
            .build();
    let key = iam.administrator().await.unwrap().unwrap();
    let administrator = credentials(&key.access_key_id, key.secret.expose(), None);
    Plane { world, edge, administrator }
}

/// Two operations of EC2 that answer with nothing: what a service whose refusals are sealed is like.
fn networks() -> Service {
    Service::new(&shapes_ec2::SERVICE)
        .on::<shapes_ec2::operations::DescribeVpcs, _, _>(async |_, _| Ok(Default::default()))
        .on::<shapes_ec2::operations::DescribeSubnets, _, _>(async |_, _| Ok(Default::default()))
}

pub(crate) fn credentials(id: &str, secret: &str, token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: id.to_owned(),
        secret: Secret::new(secret),
        session_token: token.map(str::to_owned),
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// The service of an operation, and its form.
fn form(operation: &str, members: &[(&str, &str)]) -> (&'static str, String) {
    let of_sts = shapes_sts::SERVICE.operations.contains(&operation);
    let (service, version) = match (of_sts, operation.starts_with("Describe")) {
        (true, _) => ("sts", "2011-06-15"),
        (false, true) => ("ec2", "2016-11-15"),
        (false, false) => ("iam", "2010-05-08"),
    };
    let mut body = format!("Action={operation}&Version={version}");
    for (name, value) in members {
        body += &format!("&{name}={}", encoded(value));
    }
    (service, body)
}

impl Plane {
    /// Status and body of a call of IAM, of STS for the operations that only it has, or of EC2.
    pub(crate) async fn ask(
        &self,
        credentials: &Credentials,
        operation: &str,
        members: &[(&str, &str)],
    ) -> (u16, String) {
        let (service, body) = form(operation, members);
        let request = Request::post("http://plane.test/").header("content-type", FORM);
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let now = self.world.clock.now();
        let signer = Signer { credentials, region: "us-east-1", service, now };
        sign(&mut parts, body.as_bytes(), &signer);
        self.answer(Request::from_parts(parts, Body::from(body))).await
    }

    /// The same of a call that is not signed.
    pub(crate) async fn ask_unsigned(
        &self,
        operation: &str,
        members: &[(&str, &str)],
    ) -> (u16, String) {
        let (_, body) = form(operation, members);
        let request = Request::post("http://plane.test/").header("content-type", FORM);
        self.answer(request.body(Body::from(body)).unwrap()).await
    }

    async fn answer(&self, request: Request<Body>) -> (u16, String) {
        let answer = self.edge.handle(request, None).await;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect(1 << 20).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// The answer to a call of the administrator's that must succeed.
    pub(crate) async fn done(&self, operation: &str, members: &[(&str, &str)]) -> String {
        let (status, body) = self.ask(&self.administrator, operation, members).await;
        assert_eq!(status, 200, "{operation}: {body}");
        body
    }

    /// What a call of the administrator's is refused with: code and text.
    pub(crate) async fn refused(&self, operation: &str, members: &[(&str, &str)]) -> String {
        refusal(self.ask(&self.administrator, operation, members).await)
    }

    /// A user with a key, and an inline policy if there is one.
    pub(crate) async fn user(&self, name: &str, policy: &str) -> Credentials {
        self.done("CreateUser", &[("UserName", name)]).await;
        if !policy.is_empty() {
            let members = [("UserName", name), ("PolicyName", "p"), ("PolicyDocument", policy)];
            self.done("PutUserPolicy", &members).await;
        }
        let made = self.done("CreateAccessKey", &[("UserName", name)]).await;
        credentials(&element(&made, "AccessKeyId"), &element(&made, "SecretAccessKey"), None)
    }
}

/// `status code: text` of a refusal.
pub(crate) fn refusal((status, body): (u16, String)) -> String {
    assert_ne!(status, 200, "{body}");
    format!("{status} {}: {}", element(&body, "Code"), element(&body, "Message"))
}

/// The text of the first element of this name.
pub(crate) fn element(body: &str, name: &str) -> String {
    let (_, rest) =
        body.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{name}: {body}"));
    let text = rest.split_once(&format!("</{name}>")).unwrap().0;
    text.replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}
