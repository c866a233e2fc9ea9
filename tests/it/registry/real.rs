//! What a real registry tells of tags, indexes, manifests and labels.

use rolldeck::domain::catalog::{Answer, Catalog, Said};
use rolldeck::domain::image::{Comparison, DigestKind, ImageId};

use super::{reference, registries};
use crate::real::registry::registry_or_skip;

fn digest_of(answer: &Answer) -> String {
    match &answer.said {
        Ok(Said::StandsFor(digest)) => digest.to_string(),
        other => panic!("{} is {other:?}", answer.about),
    }
}

#[tokio::test]
async fn a_tag_is_its_index_and_every_document_of_that_is_one_image() {
    let Some(registry) = registry_or_skip("a_tag_is_its_index_and_every_document_of_that_is_one_image") else { return };
    let (v41, v42) = (registry.push("shop/app", "v41", "41.0.2"), registry.push("shop/app", "v42", "42.0.0"));
    let host = registry.host();
    let registries = registries(&[&host]);
    let tag = registries.ask(&reference(&format!("{host}/shop/app:v41"))).await;
    assert_eq!(digest_of(&tag), v41.index.to_string());
    let mut catalog = Catalog::default();
    assert!(catalog.learn(tag));
    for pushed in [&v41, &v42] {
        assert!(catalog.learn(registries.ask(&reference(&format!("{host}/shop/app@{}", pushed.index))).await));
    }
    let repository = |digest: &rolldeck::domain::image::Digest| ImageId::oci(digest.clone(), DigestKind::Repository);
    let index = repository(&v41.index);
    for (manifest, _) in &v41.platforms {
        assert_eq!(catalog.compare(&index, &repository(manifest)), Comparison::Same);
    }
    let config = ImageId::oci(v41.platforms[0].1.clone(), DigestKind::Config);
    assert_eq!(catalog.compare(&index, &config), Comparison::Same, "the configuration that was read");
    assert_eq!(catalog.compare(&index, &repository(&v42.platforms[0].0)), Comparison::Different);
    assert_eq!(catalog.version_of(&config).map(|version| version.to_string()).as_deref(), Some("41.0.2"));
    let revision = catalog.images_of(&index).find_map(|image| image.labels.revision.clone());
    assert_eq!(revision.as_deref(), Some("c0ffee1"));
}

#[tokio::test]
async fn a_manifest_is_described_alone_and_the_index_brings_it_together() {
    let test = "a_manifest_is_described_alone_and_the_index_brings_it_together";
    let Some(registry) = registry_or_skip(test) else { return };
    let pushed = registry.push("shop/app", "v41", "41.0.2");
    let host = registry.host();
    let registries = registries(&[&host]);
    let (manifest, config) = pushed.platforms[1].clone();
    let mut catalog = Catalog::default();
    catalog.learn(registries.ask(&reference(&format!("{host}/shop/app@{manifest}"))).await);
    let (manifest, config) = (ImageId::oci(manifest, DigestKind::Manifest), ImageId::oci(config, DigestKind::Config));
    assert_eq!(catalog.compare(&manifest, &config), Comparison::Same);
    let index = ImageId::oci(pushed.index.clone(), DigestKind::Index);
    assert_eq!(catalog.compare(&manifest, &index), Comparison::Undecidable, "nobody has told");
    catalog.learn(registries.ask(&reference(&format!("{host}/shop/app@{}", pushed.index))).await);
    assert_eq!(catalog.compare(&manifest, &index), Comparison::Same);
}

#[tokio::test]
async fn a_tag_that_moved_and_one_that_is_gone_are_told() {
    let Some(registry) = registry_or_skip("a_tag_that_moved_and_one_that_is_gone_are_told") else { return };
    let host = registry.host();
    let registries = registries(&[&host]);
    let stable = reference(&format!("{host}/shop/app:stable"));
    let before = registry.push("shop/app", "stable", "41.0.2");
    let mut catalog = Catalog::default();
    catalog.learn(registries.ask(&stable).await);
    let after = registry.push("shop/app", "stable", "42.0.0");
    assert!(catalog.learn(registries.ask(&stable).await));
    let seen = catalog.tag(&stable).expect("known");
    assert_eq!(seen.digest.as_ref(), Some(&after.index));
    assert_eq!(seen.before.as_ref().map(|(digest, _)| digest), Some(&before.index));
    registry.delete("shop/app", &before.index);
    let old = reference(&format!("{host}/shop/app@{}", before.index));
    assert!(catalog.learn(registries.ask(&old).await));
    assert!(catalog.is_gone(&old));
    assert!(matches!(registries.ask(&reference(&format!("{host}/shop/none:v1"))).await.said, Ok(Said::Gone)));
}
