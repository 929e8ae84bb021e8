//! `GetCallerIdentity` on the wire: each kind of caller, and each way of being nobody.

use std::net::SocketAddr;
use std::time::Duration;

use iam::{SESSION_LIFE, SessionRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use wire::sigv4::{Credentials, Signer, presign, sign};
use wire::{Edge, Secret};

use super::{World, world};

const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

struct Server {
    world: World,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn server(open: bool) -> Server {
    let world = world().await;
    let (iam, stop) = (world.iam.clone(), CancellationToken::new());
    let edge = Edge::builder(
        std::sync::Arc::new(iam.clone()),
        std::sync::Arc::new(world.clock.clone()),
        world.ids.clone(),
    )
    .service(iam.sts())
    .open(open)
    .build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(edge.serve(listener, stop.clone()));
    Server { world, address, stop }
}

impl Server {
    /// Status and body of a signed call; ids are masked.
    async fn ask(&self, credentials: &Credentials) -> (u16, String) {
        let request = http::Request::post(format!("http://{}/", self.address))
            .header("content-type", FORM)
            .body(())
            .unwrap();
        let (mut parts, ()) = request.into_parts();
        sign(&mut parts, BODY.as_bytes(), &self.signer(credentials));
        let mut text = "POST / HTTP/1.1\r\nconnection: close\r\n".to_owned();
        for (name, value) in &parts.headers {
            text += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        self.send(&format!("{text}content-length: {}\r\n\r\n{BODY}", BODY.len())).await
    }

    fn signer<'a>(&self, credentials: &'a Credentials) -> Signer<'a> {
        let now = terms::Clock::now(&self.world.clock);
        Signer { credentials, region: "eu-west-1", service: "sts", now }
    }

    async fn send(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, masked(body))
    }
}

fn masked(body: &str) -> String {
    let Some((before, rest)) = body.split_once("<RequestId>") else { return body.to_owned() };
    let (_, after) = rest.split_once("</RequestId>").unwrap();
    format!("{before}<RequestId>ID</RequestId>{after}")
}

fn identity(arn: &str, user_id: &str) -> (u16, String) {
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><Account>000000000000</Account><Arn>{arn}</Arn>\
         <UserId>{user_id}</UserId></GetCallerIdentityResult>\
         <ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></GetCallerIdentityResponse>\n"
    );
    (200, body)
}

fn refusal(code: &str, message: &str) -> (u16, String) {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
         <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>ID</RequestId></ErrorResponse>\n"
    );
    (403, body)
}

fn credentials(key: &str, secret: &Secret, token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: key.to_owned(),
        secret: secret.clone(),
        session_token: token.map(str::to_owned),
    }
}

const INVALID: &str = "The security token included in the request is invalid.";

#[tokio::test]
async fn every_kind_of_caller_is_told_who_it_is() {
    let server = server(false).await;
    let iam = &server.world.iam;

    let key = iam.administrator().await.unwrap().unwrap();
    let administrator = credentials(&key.access_key_id, &key.secret, None);
    let answer = server.ask(&administrator).await;
    let (_, user_id) = answer.1.split_once("<UserId>").unwrap();
    let user_id = &user_id[.."AIDA".len() + 16];
    assert!(user_id.starts_with("AIDA"), "{user_id}");
    let arn = "arn:aws:iam::000000000000:user/administrator";
    assert_eq!(answer, identity(arn, user_id));
    assert_eq!(server.ask(&administrator).await, answer, "the same each time");

    let signer = server.signer(&administrator);
    let (host, life) = (server.address.to_string(), Duration::from_secs(60));
    let query = presign("GET", &host, "/", BODY, life, &signer);
    let get = format!("GET /?{query} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    assert_eq!(server.send(&get).await, answer, "presigned");

    let node = iam.node_key("node-1").await.unwrap();
    let (status, body) = server.ask(&credentials(&node.access_key_id, &node.secret, None)).await;
    assert_eq!(status, 200);
    assert!(body.contains("<Arn>arn:aws:iam::000000000000:user/node/node-1</Arn>"), "{body}");

    let task = "arn:aws:ecs:us-east-1:000000000000:task/default/00000000000000000000000000000001";
    let task = task.parse().unwrap();
    let role_arn = "arn:aws:iam::000000000000:role/app";
    let request = SessionRequest { role_arn, task: &task, is_execution: false };
    let now = terms::Clock::now(&server.world.clock);
    let session = iam.sessions().assume(&request, &*server.world.ids, now);
    let token = Some(session.session_token.as_str());
    let (status, body) =
        server.ask(&credentials(&session.access_key_id, &session.secret, token)).await;
    assert_eq!(status, 200);
    let arn = "arn:aws:sts::000000000000:assumed-role/app/00000000000000000000000000000001";
    assert!(body.contains(&format!("<Arn>{arn}</Arn>")), "{body}");
    assert!(body.contains(":00000000000000000000000000000001</UserId>"), "{body}");
}

#[tokio::test]
async fn with_open_authentication_anyone_is_the_accounts_root() {
    let server = server(true).await;
    let anyone = credentials("test", &Secret::new("test"), None);
    let root = identity("arn:aws:iam::000000000000:root", "000000000000");
    assert_eq!(server.ask(&anyone).await, root);
}

#[tokio::test]
async fn nobody_is_told_why() {
    let server = server(false).await;
    let iam = &server.world.iam;
    let check = async |credentials: Credentials, code: &str, message: &str| {
        assert_eq!(server.ask(&credentials).await, refusal(code, message));
    };
    let key = iam.administrator().await.unwrap().unwrap();
    let id = key.access_key_id.as_str();
    check(credentials("AKIANONE", &key.secret, None), "InvalidClientTokenId", INVALID).await;
    check(credentials(id, &key.secret, Some("token")), "InvalidClientTokenId", INVALID).await;

    let (status, body) = server.ask(&credentials(id, &Secret::new("other"), None)).await;
    assert_eq!(status, 403);
    assert!(body.contains("<Code>SignatureDoesNotMatch</Code>"), "{body}");
    assert!(!body.contains(key.secret.expose()), "{body}");

    let (token, _) = iam
        .create_join_token(iam::TokenTerms {
            name: Some("node-1".to_owned()),
            ..Default::default()
        })
        .await
        .unwrap();
    let replaced = iam.join(&token, "node-1").await.unwrap();
    iam.join(&token, "node-1").await.unwrap();
    let replaced = credentials(&replaced.access_key_id, &replaced.secret, None);
    check(replaced, "InvalidClientTokenId", INVALID).await;

    let task = "arn:aws:ecs:us-east-1:000000000000:task/default/00000000000000000000000000000001";
    let task = task.parse().unwrap();
    let request = SessionRequest {
        role_arn: "arn:aws:iam::000000000000:role/app",
        task: &task,
        is_execution: false,
    };
    let now = terms::Clock::now(&server.world.clock);
    let session = iam.sessions().assume(&request, &*server.world.ids, now);
    let (id, secret) = (session.access_key_id.as_str(), &session.secret);
    check(credentials(id, secret, None), "InvalidClientTokenId", INVALID).await;
    check(credentials(id, secret, Some("AAAA")), "InvalidClientTokenId", INVALID).await;
    server.world.clock.advance(SESSION_LIFE);
    let text = "The security token included in the request is expired";
    check(credentials(id, secret, Some(&session.session_token)), "ExpiredToken", text).await;

    let unsigned = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {FORM}\r\n\
         content-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let missing = "Request is missing Authentication Token";
    assert_eq!(server.send(&unsigned).await, refusal("MissingAuthenticationToken", missing));
}
