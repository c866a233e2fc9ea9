//! Answers that are read while they come: the events of a watch line by line, the items of a list one by one. A page of
//! 500 pods has 6 MB; no more of it is held than the item that is being read.
//!
//! Never understands an item: it finds where one ends.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use kube::client::Body;

use super::client::{Fault, chain, malformed};
use super::connect::Link;
use super::slim::{Page, PageMeta};
use crate::domain::text::Text;

/// Longest event or item; the API server itself takes objects of 3 MB at most.
const LONGEST: usize = 8 << 20;

/// An open watch: bytes come in, whole lines go out.
pub(super) struct Lines {
    link: Arc<Link>,
    body: Body,
    buffer: Vec<u8>,
    searched: usize,
    whole: usize,
}

/// A page of a list: bytes come in, whole items go out, the envelope is left.
pub(super) struct Items {
    link: Arc<Link>,
    body: Body,
    splitter: Splitter,
}

impl Lines {
    /// Of an answer's body.
    pub(super) fn new(link: Arc<Link>, body: Body) -> Lines {
        Lines { link, body, buffer: Vec::new(), searched: 0, whole: 0 }
    }

    /// Waits until there is at least one whole line more. False: the server closed the watch.
    /// Nothing is lost when it is dropped while it waits.
    pub(super) async fn more(&mut self) -> Result<bool, Fault> {
        let before = self.whole;
        while self.whole == before {
            let Some(data) = next(&self.link, &mut self.body).await? else { return Ok(false) };
            self.buffer.extend_from_slice(&data);
            if let Some(end) = self.buffer[self.searched..].iter().rposition(|&byte| byte == b'\n') {
                self.whole = self.searched + end + 1;
            } else if self.buffer.len() - self.whole > LONGEST {
                return Err(too_long());
            }
            self.searched = self.buffer.len();
        }
        Ok(true)
    }

    /// The whole lines that have come.
    pub(super) fn whole(&self) -> impl Iterator<Item = &[u8]> {
        self.buffer[..self.whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
    }

    /// How many bytes of whole lines wait.
    pub(super) fn waiting(&self) -> usize {
        self.whole
    }

    /// Lets go of the whole lines.
    pub(super) fn taken(&mut self) {
        self.buffer.drain(..self.whole);
        self.searched -= self.whole;
        self.whole = 0;
        // A burst must not hold its memory for ever.
        if self.buffer.capacity() > 1 << 20 {
            self.buffer.shrink_to(64 << 10);
        }
    }
}

impl Items {
    /// Of an answer's body.
    pub(super) fn new(link: Arc<Link>, body: Body) -> Items {
        Items { link, body, splitter: Splitter::default() }
    }

    /// Waits for more of the page. False: it has ended.
    pub(super) async fn more(&mut self) -> Result<bool, Fault> {
        self.splitter.taken();
        let Some(data) = next(&self.link, &mut self.body).await? else { return Ok(false) };
        self.splitter.push(&data);
        if self.splitter.held() > LONGEST { Err(too_long()) } else { Ok(true) }
    }

    /// The items that are whole since the last call of `more`.
    pub(super) fn whole(&self) -> impl Iterator<Item = &[u8]> {
        self.splitter.whole()
    }

    /// Where the list stands, once the page has ended.
    pub(super) fn envelope(&self) -> Result<PageMeta, Fault> {
        let page: Page = serde_json::from_slice(&self.splitter.envelope).map_err(|error| malformed(&error))?;
        Ok(page.metadata)
    }
}

/// Finds the items of a list in its JSON: the objects in the array under the top-level key `items`.
#[derive(Default)]
struct Splitter {
    /// Items, whole ones first.
    buffer: Vec<u8>,
    /// Where the whole ones end.
    ends: Vec<usize>,
    /// Everything that is no item.
    envelope: Vec<u8>,
    depth: u32,
    is_string: bool,
    is_escaped: bool,
    /// In `items`, below the brackets.
    is_list: bool,
    /// The last string on the top level: the key, when a bracket follows.
    key: Vec<u8>,
}

/// How deep `items` stands: in the list's own object.
const TOP: u32 = 1;

impl Splitter {
    fn push(&mut self, bytes: &[u8]) {
        // What is not yet copied; all of it belongs to where the splitter stands.
        let mut from = 0;
        let mut at = 0;
        while at < bytes.len() {
            if self.is_string {
                at += self.string(&bytes[at..]);
                continue;
            }
            let byte = bytes[at];
            at += 1;
            match byte {
                b'"' => {
                    self.is_string = true;
                    if self.depth == TOP {
                        self.key.clear();
                    }
                }
                b'{' | b'[' => {
                    self.is_list |= byte == b'[' && self.depth == TOP && self.key == b"items";
                    if self.is_list && self.depth == TOP + 1 {
                        self.envelope.extend_from_slice(&bytes[from..at - 1]);
                        from = at - 1;
                    }
                    self.depth += 1;
                }
                b'}' | b']' => {
                    let was_item = self.is_item();
                    self.depth = self.depth.saturating_sub(1);
                    if was_item && !self.is_item() {
                        self.buffer.extend_from_slice(&bytes[from..at]);
                        self.ends.push(self.buffer.len());
                        from = at;
                    }
                    self.is_list &= self.depth > TOP;
                }
                // Between items.
                b',' if self.is_list && !self.is_item() => {
                    self.envelope.extend_from_slice(&bytes[from..at - 1]);
                    from = at;
                }
                _ => {}
            }
        }
        let to = if self.is_item() { &mut self.buffer } else { &mut self.envelope };
        to.extend_from_slice(&bytes[from..]);
    }

    fn is_item(&self) -> bool {
        self.is_list && self.depth > TOP + 1
    }

    /// How much of `bytes` belongs to the string that is open; closes it where it ends.
    fn string(&mut self, bytes: &[u8]) -> usize {
        let mut length = usize::from(std::mem::take(&mut self.is_escaped));
        while let Some(found) = bytes[length..].iter().position(|&byte| byte == b'"' || byte == b'\\') {
            length += found + 1;
            if bytes[length - 1] == b'"' {
                self.is_string = false;
                break;
            }
            if length == bytes.len() {
                self.is_escaped = true;
                break;
            }
            length += 1;
        }
        let length = if self.is_string { bytes.len() } else { length };
        if self.depth == TOP && self.key.len() < 64 {
            let end = if self.is_string { length } else { length - 1 };
            self.key.extend_from_slice(&bytes[..end]);
        }
        length
    }

    fn whole(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| &self.buffer[start..end])
    }

    fn taken(&mut self) {
        if let Some(&end) = self.ends.last() {
            self.buffer.drain(..end);
            self.ends.clear();
        }
    }

    fn held(&self) -> usize {
        self.buffer.len() - self.ends.last().unwrap_or(&0) + self.envelope.len()
    }
}

async fn next(link: &Link, body: &mut Body) -> Result<Option<impl std::ops::Deref<Target = [u8]> + use<>>, Fault> {
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Fault::NoAnswer(Text::new(&format!("the answer broke off: {}", chain(&error)))))?;
        link.note_heard();
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn too_long() -> Fault {
    Fault::Malformed(Text::new("an object of more than 8 MB"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Splits a document that comes in pieces of these lengths, one after the other and again.
    fn split(document: &str, pieces: &[usize]) -> (Vec<Value>, Value) {
        let mut splitter = Splitter::default();
        let mut items = Vec::new();
        let (mut rest, mut lengths) = (document.as_bytes(), pieces.iter().cycle());
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(rest.len().min(*lengths.next().expect("a cycle")));
            splitter.taken();
            splitter.push(piece);
            items.extend(splitter.whole().map(|item| serde_json::from_slice(item).expect("a whole item")));
            rest = left;
        }
        (items, serde_json::from_slice(&splitter.envelope).expect("what is left is JSON"))
    }

    #[test]
    fn items_are_found_wherever_the_answer_is_cut() {
        let items =
            vec![json!({"a": "}],\"\\", "items": [{"items": []}]}), json!({}), json!({"b": [[1, {"c": null}], "é"]})];
        let metadata = json!({"continue": "a\"b]", "resourceVersion": "7", "items": [1]});
        for document in [
            json!({"kind": "PodList", "metadata": metadata, "items": items}).to_string(),
            serde_json::to_string_pretty(&json!({"items": items, "metadata": metadata, "kind": "items"}))
                .expect("JSON"),
        ] {
            for length in 1..document.len() {
                let (found, envelope) = split(&document, &[length]);
                assert_eq!(found, items);
                assert_eq!((&envelope["metadata"], &envelope["items"]), (&metadata, &json!([])), "{document}");
            }
        }
        assert_eq!(split(r#"{"items":null,"metadata":{}}"#, &[3]).0, Vec::<Value>::new());
    }

    proptest! {
        #[test]
        fn any_item_comes_out_as_it_went_in(
            texts in proptest::collection::vec(any::<String>(), 0..6),
            pieces in proptest::collection::vec(1usize..40, 1..8),
        ) {
            let items: Vec<Value> = texts.iter().map(|text| json!({text: [text, {"x": text}]})).collect();
            let document = json!({"metadata": {"continue": texts.concat()}, "items": items}).to_string();
            prop_assert_eq!(split(&document, &pieces).0, items);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:\\\\items ]{0,80}") {
            let mut splitter = Splitter::default();
            for bytes in [&bytes[..], text.as_bytes()] {
                splitter.push(bytes);
                splitter.whole().for_each(drop);
                splitter.taken();
            }
        }
    }
}
