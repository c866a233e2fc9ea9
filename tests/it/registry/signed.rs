//! Signatures: what a real registry without an API for them keeps under tags, and what one with the API lists.

use rolldeck::domain::image::Digest;
use rolldeck::domain::signature::Signature;
use serde_json::{Value, json};

use super::fake::{Asked, Fake, Reply};
use super::{reference, registries};
use crate::real::registry::registry_or_skip;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

fn signs() -> Value {
    json!({"dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1"})
}

fn attests() -> Value {
    json!({"dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"})
}

#[tokio::test]
async fn a_real_registry_without_the_api_tells_by_tags() {
    let Some(registry) = registry_or_skip("a_real_registry_without_the_api_tells_by_tags") else { return };
    let host = registry.host();
    let registries = registries(&[&host]);
    let said =
        async |digest: &Digest| registries.signature(&reference(&format!("{host}/shop/app@{digest}"))).await.said;
    let [plain, bundled, attested, tagged] =
        ["v1", "v2", "v3", "v4"].map(|tag| registry.push("shop/app", tag, tag).index);
    assert_eq!(said(&plain).await, Signature::None);

    let attestation = registry.artifact("shop/app", None, BUNDLE, &attests());
    let signature = registry.artifact("shop/app", None, BUNDLE, &signs());
    registry.refer("shop/app", &bundled, &[attestation.clone(), signature]);
    assert_eq!(said(&bundled).await, Signature::Present("sigstore bundle"));
    registry.refer("shop/app", &attested, &[attestation]);
    assert_eq!(said(&attested).await, Signature::None, "an attestation is no signature");

    let tag = format!("sha256-{}.sig", tagged.hex());
    registry.artifact("shop/app", Some(&tag), "application/vnd.oci.image.config.v1+json", &json!({}));
    assert_eq!(said(&tagged).await, Signature::Present("cosign"));
}

/// As a registry with the API answers, unless another kind is given.
fn says(status: u16, mut headers: Vec<(&'static str, String)>, body: &Value) -> Reply {
    if headers.iter().all(|(name, _)| *name != "content-type") {
        headers.push(("content-type", "application/vnd.oci.image.index.v1+json".to_string()));
    }
    Reply::Says(status, headers, body.to_string().into_bytes())
}

fn digest() -> String {
    format!("sha256:{}", "a".repeat(64))
}

/// What is said of a digest there, and what was asked for that.
async fn asked(fake: &Fake) -> (Signature, Vec<String>) {
    let host = fake.host();
    let heard = registries(&[&host]).signature(&reference(&format!("{host}/shop/app@{}", digest()))).await;
    let asked = fake.asked().iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect();
    (heard.said, asked)
}

fn lists(referrers: Value) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    move |asked: &Asked| match asked.path.contains("/referrers/") {
        true => says(200, Vec::new(), &json!({"schemaVersion": 2, "manifests": referrers})),
        false => says(404, Vec::new(), &json!({})),
    }
}

#[tokio::test]
async fn a_registry_with_the_api_is_asked_once_where_something_signs() {
    let fake = Fake::new(lists(json!([{"artifactType": BUNDLE, "annotations": signs()}]))).await;
    let (said, asked) = asked(&fake).await;
    assert_eq!(said, Signature::Present("sigstore bundle"));
    assert_eq!(asked, [format!("GET /v2/shop/app/referrers/{}", digest())]);
}

#[tokio::test]
async fn where_nothing_signs_the_tag_of_older_signatures_is_looked_for_too() {
    let sig = format!("/v2/shop/app/manifests/{}.sig", digest().replace(':', "-"));
    let fake = Fake::new(lists(json!([{"artifactType": "application/spdx+json"}]))).await;
    let (said, asked_for) = asked(&fake).await;
    assert_eq!(said, Signature::None);
    assert_eq!(asked_for, [format!("GET /v2/shop/app/referrers/{}", digest()), format!("HEAD {sig}")]);
    let fake = Fake::new(move |asked: &Asked| match asked.path == sig {
        true => says(200, Vec::new(), &json!({})),
        false => says(404, Vec::new(), &json!({})),
    })
    .await;
    let (said, asked_for) = asked(&fake).await;
    assert_eq!((said, asked_for.len()), (Signature::Present("cosign"), 3));
}

#[tokio::test]
async fn what_is_not_known_is_neither_none_nor_present() {
    let empty = || json!({"manifests": []});
    for (reply, expected) in [
        (says(403, Vec::new(), &json!({})), "does not let us read"),
        (says(500, Vec::new(), &json!({})), "status 500"),
        (says(200, Vec::new(), &json!({"manifests": 7})), "something else"),
        (says(200, vec![("content-type", "text/html".to_string())], &empty()), "a web page"),
        (Reply::Endless, "too large"),
    ] {
        let fake = Fake::new(move |_| reply.clone()).await;
        let (said, _) = asked(&fake).await;
        let Signature::Unknown(why) = &said else { panic!("{expected}: {said:?}") };
        assert!(why.contains(expected), "{expected}: {why}");
    }
}

/// Pages of what refers to a digest, the last of them with this; in each but the last nothing.
fn pages(
    count: usize,
    last: Value,
    next: impl Fn(usize) -> String + Send + Sync + 'static,
) -> impl Fn(&Asked) -> Reply {
    move |asked: &Asked| {
        if !asked.path.contains("/referrers/") {
            return says(404, Vec::new(), &json!({}));
        }
        let page: usize = asked.path.split("page=").nth(1).map_or(1, |page| page.parse().expect("a number"));
        match page == count {
            true => says(200, Vec::new(), &json!({"manifests": last})),
            false => says(200, vec![("link", next(page + 1))], &json!({"manifests": []})),
        }
    }
}

#[tokio::test]
async fn every_page_of_a_list_is_read_and_no_more_than_eight() {
    let signed = || json!([{"artifactType": BUNDLE, "annotations": signs()}]);
    let path = || format!("/v2/shop/app/referrers/{}", digest());
    for (count, last, said, requests) in [
        (3, signed(), "sigstore bundle", 3),
        (3, json!([]), "none", 4),
        (8, signed(), "sigstore bundle", 8),
        (9, signed(), "than was read", 9),
    ] {
        let fake = Fake::new(pages(count, last, move |page| format!("<{}?n=1&page={page}>; rel=\"next\"", path())));
        let (answer, asked_for) = asked(&fake.await).await;
        assert!(answer.text().contains(said), "{count}: {answer:?}");
        assert_eq!(asked_for.len(), requests, "{asked_for:?}");
    }
}

#[tokio::test]
async fn the_next_page_is_found_among_other_links() {
    let path = || format!("/v2/shop/app/referrers/{}", digest());
    let forms: [fn(&str) -> String; 4] = [
        |next| format!("<{next}>; rel=\"next\", </v2/last>; rel=\"last\""),
        |next| format!("</v2/self>; rel=\"self\",<{next}>;rel=next"),
        |next| format!("<{next}>; title=\"x\"; rel=\"last next\""),
        |next| format!("<{next}>; REL=\"next\"").replace("REL", "rel"),
    ];
    for form in forms {
        let signed = json!([{"artifactType": BUNDLE, "annotations": signs()}]);
        let fake = Fake::new(pages(2, signed, move |page| form(&format!("{}?page={page}", path()))));
        let (said, asked_for) = asked(&fake.await).await;
        assert_eq!((said, asked_for.len()), (Signature::Present("sigstore bundle"), 2), "{}", form("x"));
    }
    // Links of which none says where the next page is may hide one.
    let fake = Fake::new(pages(2, json!([]), move |page| format!("<{}?page={page}>; rel=\"last\"", path())));
    assert!(asked(&fake.await).await.0.text().contains("than was read"));
}

#[tokio::test]
async fn a_page_that_is_said_to_be_elsewhere_is_not_asked_for() {
    for target in
        ["http://127.0.0.1:1/v2/shop/app/referrers/x", "/v2/other/app/referrers/x", "//evil.example/", "", "?page=2"]
    {
        let fake = Fake::new(pages(2, json!([]), move |_| format!("<{target}>; rel=\"next\"")));
        let (said, asked_for) = asked(&fake.await).await;
        assert!(said.text().contains("than was read"), "{target}: {said:?}");
        assert_eq!(asked_for.len(), 2, "{target}: {asked_for:?}");
    }
}

#[tokio::test]
async fn a_list_in_pages_is_settled_by_the_tag_or_not_known() {
    let paged = || says(200, vec![("link", "</v2/x>; rel=\"next\"".to_string())], &json!({"manifests": []}));
    for (has_tag, expected) in [(true, "cosign"), (false, "than was read")] {
        let fake = Fake::new(move |asked: &Asked| match (asked.path.contains("/referrers/"), has_tag) {
            (true, _) => paged(),
            (false, true) => says(200, Vec::new(), &json!({})),
            (false, false) => says(404, Vec::new(), &json!({})),
        });
        let (said, _) = asked(&fake.await).await;
        assert!(said.text().contains(expected), "{said:?}");
    }
}

/// A list that could not be read is not an empty one.
#[tokio::test]
async fn a_list_that_breaks_off_or_is_no_list_is_not_known() {
    let page = || vec![("content-type", "text/html".to_string())];
    let circle = || vec![("location", format!("/v2/shop/app/referrers/{}", digest()))];
    for (reply, expected) in [
        (Reply::Torn(5_000), "breaks off"),
        (Reply::Endless, "too large"),
        (says(200, page(), &json!({})), "a web page"),
        (says(307, circle(), &json!({})), "in circles"),
    ] {
        let fake = Fake::new(move |asked: &Asked| match asked.path.contains("/referrers/") {
            true => reply.clone(),
            false => says(404, Vec::new(), &json!({})),
        });
        let (said, _) = asked(&fake.await).await;
        assert!(matches!(&said, Signature::Unknown(why) if why.contains(expected)), "{expected}: {said:?}");
    }
}

/// Who does not know the API says so in many ways: then the tags count.
#[tokio::test]
async fn a_registry_without_the_api_is_asked_for_tags_however_it_says_so() {
    let page = vec![("content-type", "application/json".to_string())];
    for reply in [says(400, Vec::new(), &json!({})), says(405, Vec::new(), &json!({})), says(200, page, &json!({}))] {
        let fake = Fake::new(move |asked: &Asked| match asked.path.contains("/referrers/") {
            true => reply.clone(),
            false if asked.path.ends_with(".sig") => says(200, Vec::new(), &json!({})),
            false => says(404, Vec::new(), &json!({})),
        });
        let (said, asked_for) = asked(&fake.await).await;
        assert_eq!((said, asked_for.len()), (Signature::Present("cosign"), 3));
    }
}

#[tokio::test]
async fn nothing_that_a_registry_writes_is_shown() {
    let evil = "application/vnd.dev.sigstore.bundle\u{1b}[2J verified";
    let fake = Fake::new(lists(json!([{"artifactType": evil, "annotations": {"x": "\u{1b}"}}]))).await;
    let (said, _) = asked(&fake).await;
    assert_eq!(said.text(), "present, not verified (sigstore bundle, of a signature or an attestation)");
}
