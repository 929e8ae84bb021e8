//! The AWS protocols: each one a reader, a writer and the form of its errors.

mod cbor;
mod cbor_reader;
mod cbor_writer;
mod form;
mod json_reader;
mod json_writer;
mod query_reader;
pub(crate) mod time;
mod xml_message;
mod xml_writer;

use bytes::Bytes;
use terms::Uuid;
pub use time::parse_iso8601;

pub use cbor_reader::CborReader;
pub use cbor_writer::CborWriter;
pub use form::Form;
pub use json_reader::JsonReader;
pub use json_writer::JsonWriter;
pub use query_reader::QueryReader;
pub use xml_writer::XmlWriter;

use crate::check::Check;
use crate::service::Body;
use crate::value::{Malformed, Reader, Writer};
use crate::{Schema, ServiceError, ServiceModel};

/// A protocol of AWS services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// AWS JSON 1.0: `application/x-amz-json-1.0`.
    AwsJson10,
    /// AWS JSON 1.1: `application/x-amz-json-1.1`.
    AwsJson11,
    /// Smithy's RPC v2 over CBOR: the operation in the path, `application/cbor`.
    RpcV2Cbor,
    /// AWS Query: forms in, XML out.
    AwsQuery,
    /// EC2's own kind of Query: other names in forms, no wrapping elements in XML.
    Ec2Query,
}

/// How many bytes a response is given room for at first.
const RESPONSE_CAPACITY_BYTES: usize = 1024;

impl Protocol {
    /// The `Content-Type` of requests.
    pub const fn request_content_type(self) -> &'static str {
        match self {
            Self::AwsJson10 => "application/x-amz-json-1.0",
            Self::AwsJson11 => "application/x-amz-json-1.1",
            Self::RpcV2Cbor => "application/cbor",
            Self::AwsQuery | Self::Ec2Query => "application/x-www-form-urlencoded; charset=utf-8",
        }
    }

    /// The `Content-Type` of responses.
    pub const fn response_content_type(self) -> &'static str {
        match self {
            Self::AwsJson10 => "application/x-amz-json-1.0",
            Self::AwsJson11 => "application/x-amz-json-1.1",
            Self::RpcV2Cbor => "application/cbor",
            Self::AwsQuery => "text/xml",
            Self::Ec2Query => "text/xml;charset=UTF-8",
        }
    }

    /// Whether this is one of the protocols that take forms and answer in XML.
    pub const fn is_form(self) -> bool {
        matches!(self, Self::AwsQuery | Self::Ec2Query)
    }

    /// Walks a request's body with `read`.
    pub(crate) fn decode_request(
        self,
        body: Body,
        check: &mut Check,
        read: &mut dyn FnMut(&mut dyn Reader) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        match body {
            Body::Bytes(bytes) if self == Self::RpcV2Cbor => {
                CborReader::read_document(&bytes, check, read)
            }
            Body::Bytes(bytes) => JsonReader::read_document(&bytes, check, read),
            Body::Form(form) if self == Self::Ec2Query => read(&mut QueryReader::ec2(&form, check)),
            Body::Form(form) => read(&mut QueryReader::new(&form, check)),
        }
    }

    /// The error for input that is not of the protocol's form.
    pub(crate) fn malformed(self, malformed: Malformed) -> ServiceError {
        let code = match self {
            Self::AwsJson10 | Self::AwsJson11 | Self::RpcV2Cbor => "SerializationException",
            Self::AwsQuery => "MalformedInput",
            Self::Ec2Query => "InvalidParameterValue",
        };
        ServiceError::new(code, 400, malformed.message)
    }

    /// The error for a caller whose policies do not let it.
    pub(crate) fn denied(self, message: String) -> ServiceError {
        match self {
            Self::AwsJson10 | Self::AwsJson11 => {
                ServiceError::new("AccessDeniedException", 400, message)
            }
            Self::RpcV2Cbor => ServiceError::new("AccessDeniedException", 403, message),
            Self::AwsQuery => ServiceError::new("AccessDenied", 403, message),
            Self::Ec2Query => {
                let text = format!("You are not authorized to perform this operation. {message}");
                ServiceError::new("UnauthorizedOperation", 403, text)
            }
        }
    }

    /// The body of a response whose output `write` writes.
    pub(crate) fn encode_response(
        self,
        operation: &'static str,
        service: &'static ServiceModel,
        output: &'static Schema,
        request_id: Uuid,
        write: impl FnOnce(&mut dyn Writer),
    ) -> Bytes {
        match self {
            Self::AwsJson10 | Self::AwsJson11 => {
                let mut writer = JsonWriter::with_capacity(RESPONSE_CAPACITY_BYTES);
                write(&mut writer);
                writer.finish()
            }
            Self::RpcV2Cbor => {
                let mut writer = CborWriter::with_capacity(RESPONSE_CAPACITY_BYTES);
                write(&mut writer);
                writer.finish()
            }
            Self::AwsQuery => xml_message::response(operation, service, output, request_id, write),
            Self::Ec2Query => xml_message::ec2_response(operation, service, request_id, write),
        }
    }

    /// The body of an error.
    pub(crate) fn encode_error(
        self,
        error: &ServiceError,
        service: Option<&'static ServiceModel>,
        request_id: Uuid,
    ) -> Bytes {
        match self {
            Self::AwsJson10 | Self::AwsJson11 => json_writer::error(error),
            Self::RpcV2Cbor => cbor_writer::error(error),
            Self::AwsQuery => xml_message::error(error, service, request_id),
            Self::Ec2Query => xml_message::ec2_error(error, request_id),
        }
    }
}
