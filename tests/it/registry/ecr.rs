//! Keys of AWS's registries, as moto gives them.

use rolldeck::domain::id::PlaceId;
use rolldeck::providers::{AwsSurroundings, KINDS, PlaceSpec, Surroundings};
use serde_json::json;

use super::fake::{Asked, Fake, Reply};
use super::{SECRET, reference, with};
use crate::real::moto::{region_or_skip, write_files};
use rolldeck::domain::catalog::Said;
use rolldeck::registry::Credential;

fn host_in(region: &str) -> String {
    format!("123456789012.dkr.ecr.{region}.amazonaws.com")
}

/// A place at this address, and what surrounds it.
fn place(folder: &tempfile::TempDir, region: &str, url: &str) -> (Vec<PlaceSpec>, Surroundings) {
    let (config, credentials) = write_files(folder.path());
    let aws = AwsSurroundings {
        config_file: Some(config),
        credentials_file: Some(credentials),
        ..AwsSurroundings::default()
    };
    let settings = json!({"region": region, "endpoint_url": url});
    let settings = settings.as_object().expect("a table").clone();
    let spec = PlaceSpec { id: PlaceId::new("aws/test"), kind: "aws", settings };
    (vec![spec], Surroundings { aws, ..Surroundings::default() })
}

/// What the one kind that keeps a registry of this name says.
async fn key(host: &str, places: &[PlaceSpec], surroundings: &Surroundings) -> Result<Credential, String> {
    let asked = KINDS.iter().find_map(|kind| (kind.registry_key)(host, places, surroundings)).expect("one keeps it");
    let key = asked.await.map_err(|why| why.to_string())?;
    // Whenever it is asked, moto says so.
    assert_eq!(key.until.to_string(), "2015-01-01T00:00:00Z");
    assert!(!format!("{key:?}").contains(&key.secret));
    Ok(Credential::Password { user: key.user, secret: key.secret })
}

#[test]
fn a_key_of_the_account_is_given_and_opens_its_registry() {
    let Some(region) = region_or_skip("a_key_of_the_account_is_given_and_opens_its_registry") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (places, surroundings) = place(&folder, region.name(), &region.moto().url());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let key = key(&host_in(region.name()), &places, &surroundings).await.expect("moto gives one");
        assert!(matches!(&key, Credential::Password { user, secret } if user == "AWS" && !secret.is_empty()));
        assert!(KINDS.iter().all(|kind| (kind.registry_key)("public.ecr.aws", &places, &surroundings).is_none()));
        // ECR wants user and password.
        let fake = Fake::new(|asked: &Asked| match &asked.authorization {
            Some(sent) if sent.starts_with("Basic ") => {
                let digest = format!("sha256:{}", "b".repeat(64));
                Reply::Says(200, vec![("docker-content-digest", digest)], Vec::new())
            }
            _ => Reply::Says(401, vec![("www-authenticate", "Basic realm=\"https://ecr\"".to_string())], Vec::new()),
        })
        .await;
        let host = fake.host();
        let answer = with(&[&host], Some(&host), key).ask(&reference(&format!("{host}/shop/app:v1"))).await;
        assert!(matches!(answer.said, Ok(Said::StandsFor(_))), "{:?}", answer.said);
    });
}

#[tokio::test]
async fn without_the_permission_it_is_named_and_without_a_sign_in_what_to_do() {
    let denied = Fake::new(|_| {
        let body = json!({"__type": "AccessDeniedException", "Message": format!("no: {SECRET}")});
        Reply::Says(
            400,
            vec![("content-type", "application/x-amz-json-1.1".to_string())],
            body.to_string().into_bytes(),
        )
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let (places, surroundings) = place(&folder, "eu-west-1", &format!("http://{}", denied.host()));
    let why = key(&host_in("eu-west-1"), &places, &surroundings).await.expect_err("denied");
    assert_eq!(why, "ecr:GetAuthorizationToken is not granted; allow it in the policy of this role");
    let asked = &denied.asked()[0];
    assert!(asked.authorization.as_ref().is_some_and(|sent| sent.contains("/eu-west-1/ecr/aws4_request")), "{asked:?}");
}
