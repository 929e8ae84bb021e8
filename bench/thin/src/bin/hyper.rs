//! `thin-hyper LISTEN TARGET`: a proxy of HTTP/1.1 with connections that are kept, and nothing else.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

type Kept = Rc<RefCell<Vec<SendRequest<Incoming>>>>;
type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

async fn pass(request: Request<Incoming>, target: Rc<str>, kept: Kept) -> Result<Answer, Infallible> {
    let before = kept.borrow_mut().pop().filter(SendRequest::is_ready);
    let mut sender = match before {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(&*target).await.expect("the target listens");
            stream.set_nodelay(true).expect("an open connection");
            let made = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
            let (sender, connection) = made.expect("a connection of HTTP/1");
            tokio::task::spawn_local(connection);
            sender
        }
    };
    let answer = sender.send_request(request).await.expect("the target answers");
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.expect("a whole body");
    kept.borrow_mut().push(sender);
    let body = body.map_err(|never| match never {}).boxed_unsync();
    Ok(Response::from_parts(parts, body))
}

async fn serve(listen: String, target: Rc<str>) {
    let listener = TcpListener::bind(listen).await.expect("the address is free");
    let kept = Kept::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (target, kept) = (target.clone(), kept.clone());
        stream.set_nodelay(true).expect("an open connection");
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| pass(request, target.clone(), kept.clone()));
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(target)) = (args.next(), args.next()) else {
        panic!("thin-hyper LISTEN TARGET")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, serve(listen, target.into()));
}
