//! Whether something signs a digest: what refers to it, and cosign's own tag beside it. One request where a registry lists what
//! refers to a digest and that signs it, up to three where it can't, and one for each further page.
//!
//! Never reads a signature, so never says that one is good.

use jiff::Timestamp;

use super::client::{Next, Page};
use super::fault::Fault;
use super::referrers::{cosign_tag_of, signing, tag_of};
use super::{Registries, manifest_path};
use crate::domain::image::ImageRef;
use crate::domain::signature::{Signature, SignatureHeard};
use crate::domain::text::Text;

/// How many pages of what refers to a digest are read at most.
const MOST_PAGES: usize = 8;

impl Registries {
    /// Asks whether something signs this digest. Takes as long as the registry's limits ask for.
    pub async fn signature(&self, about: &ImageRef) -> SignatureHeard {
        let said = self.signing(about).await;
        let said = said.unwrap_or_else(|fault| Signature::Unknown(Text::new(&fault.to_string())));
        SignatureHeard { about: about.clone(), at: Timestamp::now(), said }
    }

    async fn signing(&self, about: &ImageRef) -> Result<Signature, Fault> {
        let host = self.web.host(about)?;
        let Some(digest) = about.digest() else { return Err(Fault::Name(Text::new(about.as_str()))) };
        let mut page = match self.web.referrers(&host, digest).await {
            // Without the API they are under a tag, if there are any (distribution specification, "Unavailable Referrers API").
            Err(Fault::Gone) => match self.web.manifest(&host, &manifest_path(&host, &tag_of(digest))?, None).await {
                Err(Fault::Gone) => None,
                body => Some(Page { body: body?, next: Next::None }),
            },
            found => Some(found?),
        };
        let mut is_whole = true;
        let mut pages = 0;
        while let Some(Page { body, next }) = page.take() {
            if let Some(kind) = signing(&body).map_err(|why| host.malformed(why))? {
                return Ok(Signature::Present(kind));
            }
            pages += 1;
            match next {
                Next::None => {}
                Next::At(path) if pages < MOST_PAGES => page = Some(self.web.page(&host, &path).await?),
                Next::At(_) | Next::Astray => is_whole = false,
            }
        }
        // Before its version 3 cosign has used a tag of its own, and a registry with the API lists nothing of that.
        match self.web.head(&host, &manifest_path(&host, &cosign_tag_of(digest))?).await {
            Ok(_) => Ok(Signature::Present("cosign")),
            Err(Fault::Gone) if is_whole => Ok(Signature::None),
            Err(Fault::Gone) => Ok(Signature::Unknown(Text::new("more refers to it than was read"))),
            Err(fault) => Err(fault),
        }
    }
}
