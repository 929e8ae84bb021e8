//! Calls of services that speak Query: a form goes out, a document of XML comes back.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value as Json};

use super::{Client, ClientError};
use crate::ServiceModel;

/// Elements within elements; no service's answers come near.
const DEPTH_MAX: usize = 64;

impl Client {
    /// Calls an operation of a service that speaks Query, with parameters as the form names them
    /// (`Names.member.1`). Gives what its result element holds: elements with `member`s are
    /// arrays, those with other elements objects, all others texts; so an empty list is a text.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn query(
        &self,
        service: &ServiceModel,
        operation: &str,
        parameters: &[(String, String)],
    ) -> Result<Json, ClientError> {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        let body = form_of(operation, service.api_version, parameters);
        let headers = [(CONTENT_TYPE, form)];
        let answer = self.send(Method::POST, "/", &headers, body, service.name).await?;
        let read = document(answer.body()).map_err(|reason| self.unexpected(reason));
        match answer.status().is_success() {
            true => Ok(read?[format!("{operation}Result")].take()),
            false => Err(refusal(&answer, read.ok())),
        }
    }
}

fn form_of(operation: &str, version: &str, parameters: &[(String, String)]) -> Bytes {
    let mut form = format!("Action={operation}&Version={version}");
    for (name, value) in parameters {
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        form += &format!("&{name}={value}");
    }
    form.into()
}

/// The error of a bad answer: `Error` with its `Code` and `Message`, if it is one of Query's.
fn refusal(answer: &Response<Bytes>, document: Option<Json>) -> ClientError {
    let error = document.map(|mut document| document["Error"].take()).unwrap_or_default();
    let text = |member: &str| error[member].as_str().map(str::to_owned);
    let unnamed = |status: StatusCode| status.canonical_reason().unwrap_or("Error").to_owned();
    ClientError::Service {
        code: text("Code").unwrap_or_else(|| unnamed(answer.status())),
        status: answer.status().as_u16(),
        message: text("Message").unwrap_or_default(),
        body: None,
    }
}

/// An element that has begun.
#[derive(Default)]
struct Begun {
    name: String,
    members: Vec<(String, Json)>,
    text: String,
}

impl Begun {
    fn end(self) -> (String, Json) {
        let Self { name, members, text } = self;
        let value = match members.first() {
            None => Json::String(text),
            Some((first, _)) if first == "member" => {
                members.into_iter().map(|(_, value)| value).collect()
            }
            Some(_) => Json::Object(members.into_iter().collect::<Map<_, _>>()),
        };
        (name, value)
    }
}

/// What the document's root holds.
fn document(xml: &[u8]) -> Result<Json, String> {
    let text = std::str::from_utf8(xml).map_err(|error| error.to_string())?;
    let (mut reader, mut begun) = (Reader::from_str(text), vec![Begun::default()]);
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let Some(inner) = begun.last_mut() else { return Err("it ends too early".to_owned()) };
        match event {
            Event::Start(element) => {
                let name = element.local_name().as_ref().to_owned();
                begun.push(Begun { name, ..Begun::default() });
                if begun.len() > DEPTH_MAX {
                    return Err(format!("it has more than {DEPTH_MAX} elements within another"));
                }
            }
            Event::Empty(element) => {
                let name = element.local_name().as_ref().to_owned();
                inner.members.push((name, Json::String(String::new())));
            }
            Event::Text(text) => inner.text += &text,
            Event::GeneralRef(reference) => inner.text += &resolved(&reference)?,
            Event::End(_) => {
                let ended = begun.pop().unwrap_or_default().end();
                match begun.last_mut() {
                    Some(outer) => outer.members.push(ended),
                    None => return Err("an element ends that has not begun".to_owned()),
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let root = begun.pop().filter(|_| begun.is_empty()).ok_or("it ends too early")?;
    root.members.into_iter().next().map(|(_, value)| value).ok_or("it is empty".to_owned())
}

/// What `&…;` stands for.
fn resolved(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character.to_string());
    }
    let name: &str = reference;
    let entity = quick_xml::escape::resolve_xml_entity(name).map(str::to_owned);
    entity.ok_or_else(|| format!("&{name}; stands for nothing"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_read_as_they_nest() {
        let xml = br#"<?xml version="1.0"?>
            <DescribeThingsResponse xmlns="http://example.com/">
              <DescribeThingsResult>
                <Things>
                  <member><Name>a &amp; b&#33;</Name><Tags/></member>
                  <member><Name>c</Name><Ports><member>1</member></Ports></member>
                </Things>
              </DescribeThingsResult>
              <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
            </DescribeThingsResponse>"#;
        let read = document(xml).expect("a document");
        assert_eq!(
            read["DescribeThingsResult"],
            json!({"Things": [{"Name": "a & b!", "Tags": ""}, {"Name": "c", "Ports": ["1"]}]})
        );
    }

    #[test]
    fn what_is_no_document_is_told() {
        let deep = "<a>".repeat(100);
        for wrong in ["", "<a>", "</a>", "<a></b>", "text", "<a>&nothing;</a>", &deep] {
            assert!(document(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_error_is_told_by_its_code_and_text() {
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>LoadBalancerNotFound</Code>\
                   <Message>One is not there</Message></Error></ErrorResponse>";
        let mut answer = Response::new(Bytes::from(xml));
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        let told = refusal(&answer, document(answer.body()).ok());
        assert_eq!(told.to_string(), "LoadBalancerNotFound: One is not there");
        *answer.body_mut() = Bytes::from("<html>");
        let told = refusal(&answer, document(answer.body()).ok());
        assert_eq!(told.code(), Some("Bad Request"));
    }

    #[test]
    fn parameters_are_written_as_a_form() {
        let parameters = [("Names.member.1".to_owned(), "a b&c".to_owned())];
        let form = form_of("DescribeThings", "2015-12-01", &parameters);
        assert_eq!(&form[..], b"Action=DescribeThings&Version=2015-12-01&Names.member.1=a%20b%26c");
    }
}
