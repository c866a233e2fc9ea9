//! What goes back: XML and JSON bodies, pages, refusals in the form of each service.

use std::fmt::{Display, Write as _};

use serde_json::{Value, json};

use super::request::Request;

/// What an action gives: a body, or a refusal.
pub(super) type Reply = Result<String, Refusal>;

/// An error that AWS would give.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// An answer as it goes over the wire.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) media: &'static str,
    pub(super) body: Vec<u8>,
}

/// XML as it is written.
#[derive(Default)]
pub(super) struct Xml(String);

impl Refusal {
    /// Most of them: the request is wrong.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status: 400, code, message: message.into() }
    }
}

impl Answer {
    pub(super) fn new(request: &Request, reply: Reply) -> Answer {
        let media = if is_json(&request.service) { "application/x-amz-json-1.1" } else { "text/xml;charset=UTF-8" };
        match reply {
            Ok(body) => Answer { status: 200, media, body: body.into_bytes() },
            Err(refusal) => Answer { status: refusal.status, media, body: refused(request, &refusal).into_bytes() },
        }
    }

    /// What moto answers to what it does not know, and some load balancers to everything.
    pub(super) fn broken() -> Answer {
        let body = "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n\
                    <h1>Internal Server Error</h1>\n<p>The server encountered an internal error.</p>\n";
        Answer { status: 500, media: "text/html; charset=utf-8", body: body.into() }
    }
}

impl Xml {
    pub(super) fn leaf(&mut self, name: &str, value: impl Display) {
        self.node(name, |xml| xml.text(value));
    }

    pub(super) fn text(&mut self, value: impl Display) {
        let text = value.to_string();
        if text.contains(['&', '<', '>']) {
            self.0.push_str(&text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
        } else {
            self.0.push_str(&text);
        }
    }

    pub(super) fn maybe(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.leaf(name, value);
        }
    }

    pub(super) fn node(&mut self, name: &str, inner: impl FnOnce(&mut Xml)) {
        let _ = write!(self.0, "<{name}>");
        inner(self);
        let _ = write!(self.0, "</{name}>");
    }

    /// A list of EC2.
    pub(super) fn items<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, each: impl Fn(&mut Xml, T)) {
        self.node(name, |xml| items.into_iter().for_each(|item| xml.node("item", |xml| each(xml, item))));
    }

    /// A list of Auto Scaling.
    pub(super) fn members<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, each: impl Fn(&mut Xml, T)) {
        self.node(name, |xml| items.into_iter().for_each(|item| xml.node("member", |xml| each(xml, item))));
    }
}

/// The whole answer of an EC2 action.
pub(super) fn ec2(request: &Request, inner: impl FnOnce(&mut Xml)) -> Reply {
    let mut xml = Xml::default();
    let action = &request.action;
    let _ = write!(xml.0, r#"<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">"#);
    xml.leaf("requestId", "fake");
    inner(&mut xml);
    let _ = write!(xml.0, "</{action}Response>");
    Ok(xml.0)
}

/// The whole answer of an Auto Scaling or STS action.
pub(super) fn query(request: &Request, inner: impl FnOnce(&mut Xml)) -> Reply {
    let mut xml = Xml::default();
    let (action, service) = (&request.action, &request.service);
    let _ = write!(xml.0, r#"<{action}Response xmlns="http://{service}.amazonaws.com/doc/2011-01-01/">"#);
    xml.node(&format!("{action}Result"), inner);
    xml.node("ResponseMetadata", |xml| xml.leaf("RequestId", "fake"));
    let _ = write!(xml.0, "</{action}Response>");
    Ok(xml.0)
}

/// Whether a service speaks JSON, and not forms and XML.
pub(super) fn is_json(service: &str) -> bool {
    matches!(service, "ecs" | "cloudtrail")
}

/// The whole answer of such a service.
pub(super) fn json(body: &Value) -> Reply {
    Ok(body.to_string())
}

/// One page of things in the order of their keys, and the token of the next. A token names the last thing that was given:
/// what lives through all pages is listed once, whatever comes and goes meanwhile.
pub(super) fn page<T>(
    items: impl IntoIterator<Item = (String, T)>,
    size: usize,
    token: Option<String>,
) -> (Vec<T>, Option<String>) {
    let after = token.unwrap_or_default();
    let mut rest = items.into_iter().skip_while(|(key, _)| *key <= after).peekable();
    let (mut found, mut last) = (Vec::new(), String::new());
    while found.len() < size
        && let Some((key, item)) = rest.next()
    {
        found.push(item);
        last = key;
    }
    (found, rest.peek().is_some().then_some(last))
}

/// The key of a record in a list that begins with the newest.
pub(super) fn newest_first(number: usize) -> String {
    format!("{:09}", 999_999_999 - number)
}

fn refused(request: &Request, refusal: &Refusal) -> String {
    let Refusal { code, message, .. } = refusal;
    let mut xml = Xml::default();
    let named = |xml: &mut Xml| {
        xml.leaf("Code", code);
        xml.leaf("Message", message);
    };
    match request.service.as_str() {
        service if is_json(service) => return json!({"__type": code, "message": message}).to_string(),
        "ec2" => xml.node("Response", |xml| {
            xml.node("Errors", |xml| xml.node("Error", named));
            xml.leaf("RequestID", "fake");
        }),
        _ => xml.node("ErrorResponse", |xml| {
            xml.node("Error", |xml| {
                xml.leaf("Type", if refusal.status < 500 { "Sender" } else { "Receiver" });
                named(xml);
            });
            xml.leaf("RequestId", "fake");
        }),
    }
    xml.0
}
