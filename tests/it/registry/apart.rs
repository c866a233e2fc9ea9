//! Images taken apart: a digest is asked for once, and again where it could not be read.

use rolldeck::domain::image::Digest;
use sha2::{Digest as _, Sha256};

use super::fake::{Asked, Fake, Reply};
use super::{reference, registries};

fn digest(bytes: &[u8]) -> Digest {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse().expect("a hash is a digest")
}

#[tokio::test]
async fn a_digest_is_taken_apart_once_and_one_that_failed_again() {
    let config = br#"{"os":"linux","architecture":"arm64","config":{"Env":["A=1"]}}"#.to_vec();
    let manifest = format!(r#"{{"config":{{"digest":"{}"}},"layers":[]}}"#, digest(&config)).into_bytes();
    let named = digest(&manifest);
    let fake = Fake::new(move |asked: &Asked| {
        let body = if asked.path.contains("/blobs/") { config.clone() } else { manifest.clone() };
        Reply::Says(200, vec![("content-type", "application/json".to_string())], body)
    })
    .await;
    let host = fake.host();
    let registries = registries(&[&host]);
    let asks = async |named: &str, platform: Option<&str>| {
        let before = fake.asked().len();
        let said = registries.dissect(&reference(&format!("{host}/shop/app@{named}")), platform).await;
        (said, fake.asked().len() - before)
    };
    let (first, requests) = asks(named.as_str(), None).await;
    assert!(first.as_ref().is_ok_and(|fields| fields.len() == 2) && requests == 2, "{first:?} by {requests}");
    assert_eq!(asks(named.as_str(), None).await, (first.clone(), 0));
    assert_eq!(asks(named.as_str(), Some("linux/arm64")).await, (first, 2), "of an index it may be another image");
    let other = format!("sha256:{}", "b".repeat(64));
    for _ in 0..2 {
        let (failed, requests) = asks(&other, None).await;
        assert!(failed.is_err_and(|why| why.contains("something else")) && requests == 1);
    }
}
