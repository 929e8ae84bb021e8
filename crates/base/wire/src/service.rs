//! A service: its model and the handlers of the operations that are built.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use terms::Cause;

use crate::audit::{Heard, Noter};
use crate::check::{Check, Violation, describe};
use crate::protocol::{Form, Protocol};
use crate::tree::Tree;
use crate::value::{Value, Writer};
use crate::{Authenticator, Context, Schema, ServiceError, edge};

/// What a generated crate tells about its service.
#[derive(Debug)]
pub struct ServiceModel {
    /// The name in the credential scope, which is also the prefix of its IAM actions: `ecs`.
    pub name: &'static str,
    /// The first label of its host names: `ecs`.
    pub endpoint_prefix: &'static str,
    /// The model's version: `2014-11-13`.
    pub api_version: &'static str,
    /// What stands before the dot in `X-Amz-Target`; empty for protocols without it.
    pub target_prefix: &'static str,
    /// The namespace of XML responses; empty for protocols without it.
    pub xml_namespace: &'static str,
    /// The protocols that it speaks, the preferred one first.
    pub protocols: &'static [Protocol],
    /// The code that a broken constraint is answered with.
    pub validation_code: &'static str,
    /// The names of all operations of the model, sorted; those not built too.
    pub operations: &'static [&'static str],
    /// Where a service speaks Query beside other protocols: errors whose code in Query differs
    /// from their name in the others, as code and name.
    pub renamed_errors: &'static [(&'static str, &'static str)],
}

impl ServiceModel {
    /// Whether the service speaks Query beside other protocols, whose errors then carry the code
    /// that they have in Query as well.
    pub fn is_query_compatible(&self) -> bool {
        self.protocols.len() > 1 && self.protocols.contains(&Protocol::AwsQuery)
    }

    /// The name that an error of this code has outside Query.
    pub fn error_name<'a>(&self, code: &'a str) -> &'a str {
        let renamed = self.renamed_errors.iter().find(|(query, _)| *query == code);
        renamed.map_or(code, |(_, name)| name)
    }

    /// The model's own spelling of an operation's name, if the model has it.
    pub fn operation(&self, name: &str) -> Option<&'static str> {
        let index = self.operations.binary_search(&name).ok()?;
        Some(self.operations[index])
    }
}

/// An operation of a generated crate.
pub trait Operation: 'static {
    /// The request's type.
    type Input: Value + Send + 'static;
    /// The response's type.
    type Output: Value + Send + 'static;
    /// The operation's name, such as `RunTask`.
    const NAME: &'static str;
    /// The service that it belongs to.
    const SERVICE: &'static ServiceModel;
    /// The request's shape.
    const INPUT: &'static Schema;
    /// The response's shape.
    const OUTPUT: &'static Schema;
    /// The errors that the model declares for it, by code.
    const ERRORS: &'static [&'static str];
}

/// An answer to an operation, before a protocol gives it its form.
pub(crate) type Answer = Result<Answered, ServiceError>;

/// What an operation is answered with.
pub(crate) enum Answered {
    /// Its output.
    Output(Bytes),
    /// A stream of events.
    Events(edge::Body),
}

type AnswerFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Handler = Box<dyn Fn(Call) -> AnswerFuture + Send + Sync>;
type Explain = Arc<dyn Fn(&'static str, &[Violation]) -> ServiceError + Send + Sync>;

/// One decoded request line: what a handler is called with.
pub(crate) struct Call {
    pub(crate) context: Context,
    pub(crate) protocol: Protocol,
    pub(crate) body: Body,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    /// What is gathered of the call, if somebody keeps it.
    pub(crate) heard: Option<Arc<Heard>>,
}

/// The undecoded input of an operation.
pub(crate) enum Body {
    Bytes(Bytes),
    Form(Form),
}

/// A service with the handlers of its built operations.
pub struct Service {
    model: &'static ServiceModel,
    handlers: HashMap<&'static str, Handler>,
    unsigned: HashSet<&'static str>,
    explain: Explain,
    body_limit: usize,
}

impl Service {
    /// The service of this model, with no operation built yet.
    pub fn new(model: &'static ServiceModel) -> Self {
        let explain = Arc::new(|_: &'static str, violations: &[Violation]| {
            ServiceError::new(model.validation_code, 400, describe(violations))
        });
        let (handlers, unsigned) = (HashMap::new(), HashSet::new());
        Self { model, handlers, unsigned, explain, body_limit: edge::BODY_LIMIT_BYTES }
    }

    /// The same service answering broken constraints of the model with its own errors: `explain`
    /// gets the operation's name and what is broken (never empty). Set it before [`Service::on`].
    #[must_use]
    pub fn explain(
        mut self,
        explain: impl Fn(&'static str, &[Violation]) -> ServiceError + Send + Sync + 'static,
    ) -> Self {
        self.explain = Arc::new(explain);
        self
    }

    /// The same service with an operation that is called without a signature: its handler finds out
    /// who calls. A signature is not looked at, and the caller is [`crate::CallerKind::Anonymous`].
    #[must_use]
    pub fn unsigned(mut self, operation: &'static str) -> Self {
        self.unsigned.insert(operation);
        self
    }

    /// Whether an operation is called without a signature.
    pub(crate) fn takes_unsigned(&self, operation: &str) -> bool {
        self.unsigned.contains(operation)
    }

    /// The same service with requests of up to `bytes`, if its operations take larger ones than
    /// [`edge::BODY_LIMIT_BYTES`].
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// The longest body that its requests may have, in bytes.
    pub(crate) fn body_limit_bytes(&self) -> usize {
        self.body_limit
    }

    /// The same service with `handler` answering the operation `O`.
    ///
    /// # Panics
    /// If `O` belongs to another service or has a handler already.
    #[must_use]
    pub fn on<O, F, A>(self, handler: F) -> Self
    where
        O: Operation,
        F: Fn(Context, O::Input) -> A + Send + Sync + 'static,
        A: Future<Output = Result<O::Output, ServiceError>> + Send + 'static,
    {
        let explain = Arc::clone(&self.explain);
        let erased: Handler = Box::new(move |call| {
            let Call { context, protocol, body, authenticator, heard } = call;
            let request_id = context.request_id;
            let input = decode::<O>(protocol, body, &explain).and_then(|input| {
                let asked = Asked { context: &context, protocol, heard: heard.as_deref() };
                authorize::<O>(&*authenticator, asked, &input)?;
                Ok(input)
            });
            let answer = input.map(|input| handler(context, input));
            Box::pin(async move {
                let output = answer?.await.inspect_err(|error| check_error::<O>(error))?;
                check_output::<O>(&output);
                let form = |writer: &mut dyn Writer| output.write(writer, O::OUTPUT);
                let (name, service, shape) = (O::NAME, O::SERVICE, O::OUTPUT);
                let bytes = protocol.encode_response(name, service, shape, request_id, form);
                Ok(Answered::Output(bytes))
            })
        });
        self.handled::<O>(erased)
    }

    /// The same service with `handler` answering the operation `O` with a stream of events
    /// ([`event_stream`](crate::event_stream)), of which `initial-response` comes first.
    ///
    /// # Panics
    /// If `O` belongs to another service or has a handler already.
    #[must_use]
    pub fn on_stream<O, F, A>(self, handler: F) -> Self
    where
        O: Operation,
        F: Fn(Context, O::Input) -> A + Send + Sync + 'static,
        A: Future<Output = Result<edge::Body, ServiceError>> + Send + 'static,
    {
        let explain = Arc::clone(&self.explain);
        let erased: Handler = Box::new(move |call| {
            let Call { context, protocol, body, authenticator, heard } = call;
            let input = decode::<O>(protocol, body, &explain).and_then(|input| {
                let asked = Asked { context: &context, protocol, heard: heard.as_deref() };
                authorize::<O>(&*authenticator, asked, &input)?;
                Ok(input)
            });
            let answer = input.map(|input| handler(context, input));
            Box::pin(async move {
                let events = answer?.await.inspect_err(|error| check_error::<O>(error))?;
                Ok(Answered::Events(events))
            })
        });
        self.handled::<O>(erased)
    }

    fn handled<O: Operation>(mut self, handler: Handler) -> Self {
        assert!(std::ptr::eq(O::SERVICE, self.model), "{} belongs to another service", O::NAME);
        assert!(self.handlers.insert(O::NAME, handler).is_none(), "{} has two handlers", O::NAME);
        self
    }

    /// What the generated crate tells about the service.
    pub fn model(&self) -> &'static ServiceModel {
        self.model
    }

    /// The names of the operations that have a handler, sorted.
    pub fn built(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.handlers.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// Calls the handler of an operation; `None` if it has none. A handler that panics answers
    /// with an internal failure: its client learns so, and the connection's other requests go on.
    pub(crate) fn call(&self, call: Call) -> Option<impl Future<Output = Answer> + Send + use<>> {
        let (service, operation) = (self.model.name, call.context.operation);
        let handler = self.handlers.get(operation)?;
        let failed = move || {
            tracing::error!(service, operation, "the handler panicked");
            Poll::Ready(Err(ServiceError::internal()))
        };
        let cause = Arc::new(cause(&call.context));
        let mut answer = catch_unwind(AssertUnwindSafe(|| cause.scope(|| handler(call))));
        Some(poll_fn(move |cx| match &mut answer {
            Ok(answer) => {
                catch_unwind(AssertUnwindSafe(|| cause.scope(|| answer.as_mut().poll(cx))))
                    .unwrap_or_else(|_| failed())
            }
            Err(_) => failed(),
        }))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.model.name).finish_non_exhaustive()
    }
}

/// What all that the handler does happens because of.
fn cause(context: &Context) -> Cause {
    Cause {
        request_id: context.request_id,
        service: context.service,
        operation: context.operation,
        caller: context.caller.arn.clone(),
    }
}

/// Reads the input of `O` and checks its constraints.
fn decode<O: Operation>(
    protocol: Protocol,
    body: Body,
    explain: &Explain,
) -> Result<O::Input, ServiceError> {
    let mut check = Check::strict();
    let mut input = None;
    let read = protocol.decode_request(body, &mut check, &mut |reader| {
        input = O::Input::read(reader, O::INPUT)?;
        Ok(())
    });
    read.map_err(|malformed| protocol.malformed(malformed))?;
    if !check.violations().is_empty() {
        return Err(explain(O::NAME, check.violations()));
    }
    input.ok_or_else(|| {
        protocol.malformed(crate::Malformed {
            message: "null found where a structure is expected.".to_owned(),
        })
    })
}

/// A call that is to be decided.
struct Asked<'a> {
    context: &'a Context,
    protocol: Protocol,
    heard: Option<&'a Heard>,
}

/// Asks whether the caller may do this to what the input names, and notes both.
fn authorize<O: Operation>(
    authenticator: &dyn Authenticator,
    Asked { context, protocol, heard }: Asked<'_>,
    input: &O::Input,
) -> Result<(), ServiceError> {
    if let Some(heard) = heard {
        let mut noter = Noter::default();
        input.write(&mut noter as &mut dyn Writer, O::INPUT);
        heard.parameters(noter.finish());
    }
    let as_json = || {
        let mut tree = Tree::default();
        input.write(&mut tree as &mut dyn Writer, O::INPUT);
        tree.finish()
    };
    let (decided, outcome) = match authenticator.authorize(context, &as_json) {
        Ok(decided) => (decided, Ok(())),
        Err(denied) => {
            let error = match denied.error {
                Some(error) => error.with(denied.message),
                None => protocol.denied(denied.message),
            };
            (denied.decided, Err(error))
        }
    };
    if let Some(heard) = heard {
        heard.decided(decided);
    }
    outcome
}

/// In debug builds: a response that its own model forbids is a mistake of ours.
fn check_output<O: Operation>(output: &O::Output) {
    if cfg!(debug_assertions) {
        let mut checker = crate::checker::Checker::default();
        output.write(&mut checker as &mut dyn Writer, O::OUTPUT);
        // Lists that requests must not send empty come back empty all the same (EventBridge's
        // targets of a rule).
        let is_empty_list = |broken: &Violation| {
            broken.value == "'[...]'" && broken.constraint.ends_with("greater than or equal to 1")
        };
        let violations: Vec<_> =
            checker.into_violations().into_iter().filter(|broken| !is_empty_list(broken)).collect();
        assert!(violations.is_empty(), "{} answers wrongly: {}", O::NAME, describe(&violations));
    }
}

/// In debug builds: errors must be ones that the model declares or that every service has.
fn check_error<O: Operation>(error: &ServiceError) {
    const COMMON: &[&str] = &[
        "AccessDenied",
        "AccessDeniedException",
        "InternalFailure",
        "InvalidParameterValue",
        "NotImplementedException",
        "ServiceUnavailable",
        "ThrottlingException",
        "UnrecognizedClientException",
        "ValidationError",
        "ValidationException",
    ];
    // EC2's model declares no errors at all: its codes stand in its API reference alone. And that
    // another server leads is the edge's to answer.
    let is_open = O::SERVICE.protocols.contains(&Protocol::Ec2Query) || error.is_elsewhere;
    debug_assert!(
        is_open
            || O::ERRORS.contains(&error.code.as_str())
            || COMMON.contains(&error.code.as_str()),
        "{} answers with {}, which its model does not declare",
        O::NAME,
        error.code,
    );
}
