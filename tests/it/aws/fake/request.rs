//! Requests as they come over the wire: HTTP/1.1 with keep-alive, forms and JSON.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// One request that came. Its body is read on demand: a page that is kept costs no parsing.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// As the credential scope names it: `ec2`, `autoscaling`, `ecs`, `sts`.
    pub(crate) service: String,
    pub(crate) action: String,
    pub(crate) region: String,
    /// A form, or JSON for ECS.
    pub(crate) body: String,
}

impl Request {
    /// A parameter of a form.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        self.fields().find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
    }

    /// All parameters of a form.
    pub(crate) fn params(&self) -> BTreeMap<String, String> {
        self.fields().map(|(key, value)| (decoded(key), decoded(value))).collect()
    }

    /// `InstanceId.1`, `InstanceId.2` …, in their order; for Auto Scaling `InstanceIds.member`.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let numbered = |key: &str| key.strip_prefix(name)?.strip_prefix('.')?.parse::<usize>().ok();
        let found = self.fields().filter_map(|(key, value)| Some((numbered(key)?, decoded(value))));
        found.collect::<BTreeMap<usize, String>>().into_values().collect()
    }

    /// The filters of an EC2 request: a thing passes when each has its value.
    pub(super) fn filters(&self) -> Vec<(String, Vec<String>)> {
        let named = (1..).map_while(|number| Some((number, self.param(&format!("Filter.{number}.Name"))?)));
        named.map(|(number, name)| (name, self.list(&format!("Filter.{number}.Value")))).collect()
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.param(name).is_some_and(|value| value == "true")
    }

    /// The body of an ECS request.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// Whether it asks for the second page of something, or a later one.
    pub(super) fn is_continued(&self) -> bool {
        self.body.contains("NextToken=") || self.body.contains("\"nextToken\"")
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.body.split('&').filter_map(|field| field.split_once('='))
    }
}

/// The next request on a connection; nothing when the client is gone.
pub(super) async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let length: usize = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&buffer[end..end + length]).into_owned();
    buffer.drain(..end + length);
    let (region, service) = scope(&head).unwrap_or_default();
    let mut request = Request { service, action: String::new(), region, body };
    request.action = match header(&head, "x-amz-target") {
        Some(target) => target.rsplit('.').next().unwrap_or_default().to_string(),
        None => request.param("Action").unwrap_or_default(),
    };
    Some(request)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// `Credential=ID/20261126/REGION/SERVICE/aws4_request`
fn scope(head: &str) -> Option<(String, String)> {
    let credential = header(head, "authorization")?.split("Credential=").nth(1)?;
    let mut parts = credential.split('/').skip(2);
    Some((parts.next()?.to_string(), parts.next()?.to_string()))
}

fn decoded(text: &str) -> String {
    if !text.contains(['%', '+']) {
        return text.to_string();
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
