//! Keys of the registries that AWS keeps (ECR): which account and region a host's name means, and whose credentials ask there.
//!
//! Never keeps a key and never shows one; public.ecr.aws is no such registry, it is read without one.

use base64::Engine as _;
use jiff::Timestamp;

use super::connect::{Link, ask};
use super::fault::Fault;
use super::settings::{Settings, is_region};
use super::{KIND, link, profiles};
use crate::domain::text::Text;
use crate::providers::{KeyWork, PlaceSpec, RegistryKey, Surroundings};

/// A private registry: one for each account and region (ECR User Guide, "Private registry").
#[derive(Clone, Debug, PartialEq, Eq)]
struct Registry {
    account: String,
    region: String,
}

impl Registry {
    /// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, with `ecr-fips` and with `.cn` (ECR General Reference, "Endpoints and quotas"), and
    /// `ACCOUNT.dkr-ecr.REGION.on.aws` (ECR User Guide, "Making requests to Amazon ECR registries").
    fn of(host: &str) -> Option<Registry> {
        let (account, region) = match host.strip_suffix(".on.aws") {
            Some(rest) => rest.split_once(".dkr-")?,
            None => {
                let rest = host.strip_suffix(".cn").unwrap_or(host).strip_suffix(".amazonaws.com")?;
                rest.split_once(".dkr.")?
            }
        };
        let region = region.strip_prefix("ecr.").or(region.strip_prefix("ecr-fips."))?;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_of_china = region.starts_with("cn-") == host.ends_with(".cn");
        (is_account && is_of_china && !region.is_empty() && is_region(region))
            .then(|| Registry { account: account.to_string(), region: region.to_string() })
    }
}

/// What asks for a key of this registry; `None` if it is none of AWS's.
pub(super) fn registry_key(host: &str, places: &[PlaceSpec], surroundings: &Surroundings) -> Option<KeyWork> {
    let registry = Registry::of(host)?;
    let settings = settings_for(&registry, places, surroundings);
    let link = link(settings, Some(registry.region), surroundings);
    Some(Box::pin(async move {
        token(&link).await.map_err(|fault| match &fault {
            Fault::SignIn(_) => Text::new(&format!("{fault}; {}", link.how_to_sign_in())),
            Fault::NotSent(_)
            | Fault::NoAnswer(_)
            | Fault::Throttled(_)
            | Fault::Denied(_)
            | Fault::Refused { .. }
            | Fault::Failed(_) => fault.text(),
        })
    }))
}

/// The settings of the place of that account and region, else of another region of that account, else of a place there whose
/// account nobody has told; else none, and the SDK looks where AWS's own tools look.
fn settings_for(registry: &Registry, places: &[PlaceSpec], surroundings: &Surroundings) -> Settings {
    let rank = |place: &&PlaceSpec| match profiles::whereabouts(&place.settings, &surroundings.aws) {
        (Some(account), region) if account == registry.account => {
            Some(if region.as_ref() == Some(&registry.region) { 0 } else { 1 })
        }
        (None, Some(region)) if region == registry.region => Some(2),
        (Some(_) | None, _) => None,
    };
    let of_aws = places.iter().filter(|place| place.kind == KIND.name);
    let ranked = of_aws.filter_map(|place| Some((rank(&place)?, Settings::parse(&place.settings).ok()?)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, settings)| settings).unwrap_or_default()
}

async fn token(link: &Link) -> Result<RegistryKey, Fault> {
    let client = link.ecr().await;
    let answer = ask("ecr:GetAuthorizationToken", client.get_authorization_token().send()).await?;
    let wrong = || Fault::Failed(Text::new("ecr:GetAuthorizationToken: its answer can't be understood"));
    let given = answer.authorization_data().first().ok_or_else(wrong)?;
    let until = given.expires_at().and_then(|at| Timestamp::from_second(at.secs()).ok()).ok_or_else(wrong)?;
    let encoded = given.authorization_token().ok_or_else(wrong)?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| wrong())?;
    let pair = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (user, secret) = pair.split_once(':').ok_or_else(wrong)?;
    Ok(RegistryKey { user: user.to_string(), secret: secret.to_string(), until })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::id::PlaceId;
    use crate::providers::AwsSurroundings;

    #[test]
    fn hosts_of_private_registries_name_their_account_and_region_and_no_other_host_does() {
        let check = |host: &str, expected: Option<(&str, &str)>| {
            let found = Registry::of(host);
            let found = found.as_ref().map(|found| (found.account.as_str(), found.region.as_str()));
            assert_eq!(found, expected, "{host}");
        };
        check("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some(("123456789012", "eu-west-1")));
        check("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Some(("123456789012", "us-gov-west-1")));
        check("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some(("123456789012", "cn-north-1")));
        check("123456789012.dkr-ecr.eu-west-1.on.aws", Some(("123456789012", "eu-west-1")));
        check("123456789012.dkr-ecr-fips.us-east-1.on.aws", Some(("123456789012", "us-east-1")));
        for host in [
            "public.ecr.aws",
            "123456789012.dkr.ecr.eu-west-1.on.aws",
            "123456789012.dkr-ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr-ecr.cn-north-1.on.aws",
            "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.cn",
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com",
            "123456789012.dkr.ecr..amazonaws.com",
            "123456789012.dkr.ecr.a.b.amazonaws.com",
            "123456789012.dkr.s3.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com:443",
            "registry.example",
            "",
        ] {
            check(host, None);
        }
    }

    #[test]
    fn the_place_of_the_account_and_region_lends_its_profile() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config");
        let config =
            "[profile prod]\nregion = eu-west-1\nsso_account_id = 111122223333\n[profile bare]\nregion = eu-west-1\n";
        std::fs::write(&file, config).expect("written");
        let aws = AwsSurroundings { config_file: Some(file), ..AwsSurroundings::default() };
        let surroundings = Surroundings { aws, ..Surroundings::default() };
        let place = |kind: &'static str, settings: Value| PlaceSpec {
            id: PlaceId::new("x"),
            kind,
            settings: settings.as_object().expect("a table").clone(),
        };
        let (role, prod, bare) = (
            place("aws", json!({"role_arn": "arn:aws:iam::111122223333:role/reader", "region": "us-east-1"})),
            place("aws", json!({"profile": "prod"})),
            place("aws", json!({"profile": "bare"})),
        );
        let check = |places: &[&PlaceSpec], account: &str, expected: (Option<&str>, bool)| {
            let registry = Registry { account: account.to_string(), region: "eu-west-1".to_string() };
            let places: Vec<PlaceSpec> = places.iter().map(|place| (*place).clone()).collect();
            let settings = settings_for(&registry, &places, &surroundings);
            assert_eq!((settings.profile.as_deref(), settings.role_arn.is_some()), expected, "{places:?}");
        };
        check(&[&bare, &role, &prod], "111122223333", (Some("prod"), false));
        check(&[&bare, &role], "111122223333", (None, true));
        check(&[&role, &prod, &bare], "444455556666", (Some("bare"), false));
        check(&[&role, &prod], "444455556666", (None, false));
        check(&[&place("kubernetes", json!({"profile": "prod"}))], "111122223333", (None, false));
    }
}
