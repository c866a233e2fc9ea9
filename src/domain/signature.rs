//! Whether something that signs an image lies beside it in its registry.
//!
//! Never says that a signature is good: nobody has verified it, so what is there is *present* and no more.

use jiff::Timestamp;

use super::image::ImageRef;
use super::text::Text;

/// What a registry says of the signatures of one digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// It has none.
    None,
    /// It has one of this kind. Whoever may push can put one there: who has signed, and what, was not looked at.
    Present(&'static str),
    /// It could not be asked, and why.
    Unknown(Text),
}

/// What was heard of the signatures of one digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureHeard {
    /// The digest, in its repository.
    pub about: ImageRef,
    /// When.
    pub at: Timestamp,
    /// What.
    pub said: Signature,
}

impl Signature {
    /// In words. The word for a signature whose signer is known to be right is not among them.
    pub fn text(&self) -> String {
        match self {
            Signature::None => "none".to_string(),
            Signature::Present(kind) => format!("present, not verified ({kind})"),
            Signature::Unknown(why) => format!("unknown: {why}"),
        }
    }
}
