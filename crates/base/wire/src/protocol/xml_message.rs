//! Whole responses and errors of the protocols that answer in XML.

use bytes::Bytes;
use terms::Uuid;

use super::xml_writer::{XmlWriter, escape};
use crate::value::{UNIT, Writer};
use crate::{Schema, ServiceError, ServiceModel};

/// What EC2's documents begin with.
const EC2_PROLOGUE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// A whole response: `<OpResponse><OpResult>…</OpResult><ResponseMetadata>…`. Operations without
/// output have no result element.
pub(super) fn response(
    operation: &'static str,
    service: &'static ServiceModel,
    output: &'static Schema,
    request_id: Uuid,
    write: impl FnOnce(&mut dyn Writer),
) -> Bytes {
    let out = format!("<{operation}Response xmlns=\"{}\">", service.xml_namespace);
    let (begin, end) = match std::ptr::eq(output, &UNIT) {
        true => (String::new(), String::new()),
        false => (format!("<{operation}Result>"), format!("</{operation}Result>")),
    };
    let mut writer = XmlWriter::behind(out + &begin);
    write(&mut writer);
    let mut out = writer.finish() + &end;
    out += &format!(
        "<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>\n"
    );
    Bytes::from(out)
}

/// A whole error: `<ErrorResponse><Error><Type>…</Type><Code>…</Code><Message>…</Message></Error>`,
/// with the error's further members that are texts beside the message.
pub(super) fn error(
    error: &ServiceError,
    service: Option<&'static ServiceModel>,
    request_id: Uuid,
) -> Bytes {
    let namespace = service.map_or("", |service| service.xml_namespace);
    let side = if error.status < 500 { "Sender" } else { "Receiver" };
    let mut out = format!("<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{side}</Type><Code>");
    escape(&mut out, &error.code);
    out += "</Code><Message>";
    escape(&mut out, &error.message);
    out += "</Message>";
    for (name, value) in &error.fields {
        if let Some(text) = value.as_str() {
            out += &format!("<{name}>");
            escape(&mut out, text);
            out += &format!("</{name}>");
        }
    }
    out += &format!("</Error><RequestId>{request_id}</RequestId></ErrorResponse>\n");
    Bytes::from(out)
}

/// A whole response of EC2: `<OpResponse><requestId>…</requestId>…`, the output's members beside
/// the id. The namespace has a slash at its end, which the model leaves out (observed).
pub(super) fn ec2_response(
    operation: &'static str,
    service: &'static ServiceModel,
    request_id: Uuid,
    write: impl FnOnce(&mut dyn Writer),
) -> Bytes {
    let namespace = service.xml_namespace.trim_end_matches('/');
    let mut writer = XmlWriter::ec2_behind(format!(
        "{EC2_PROLOGUE}<{operation}Response xmlns=\"{namespace}/\"><requestId>{request_id}</requestId>"
    ));
    write(&mut writer);
    Bytes::from(format!("{}</{operation}Response>\n", writer.finish()))
}

/// A whole error of EC2: `<Response><Errors><Error><Code>…</Code><Message>…</Message>…`.
pub(super) fn ec2_error(error: &ServiceError, request_id: Uuid) -> Bytes {
    let mut out = format!("{EC2_PROLOGUE}<Response><Errors><Error><Code>");
    escape(&mut out, &error.code);
    out += "</Code><Message>";
    escape(&mut out, &error.message);
    out += "</Message></Error></Errors>";
    out += &format!("<RequestID>{request_id}</RequestID></Response>\n");
    Bytes::from(out)
}
