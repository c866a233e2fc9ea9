//! That moto with our extension does what the AWS tests rely on.

use super::moto::region_or_skip;

#[test]
fn a_refresh_replaces_by_steps_and_moves_the_settings_at_its_end() {
    let Some(region) = region_or_skip("a_refresh_replaces_by_steps_and_moves_the_settings_at_its_end") else { return };
    let (old, new) = (region.image("app-1", "v1"), region.image("app-2", "v2"));
    let template = region.template("app", &old);
    assert_eq!(region.version(&template, &new), 2);
    region.group("app", &template, "1", 3, &[]);
    assert_eq!(region.versions("app"), ["1", "1", "1"]);
    region.refresh("app", &template, 2, 66);
    region.step(2);
    assert_eq!(region.newest("app"), "InProgress");
    assert_eq!(
        (region.versions("app"), region.own_version("app")),
        (vec!["1".into(), "1".into(), "2".into()], "1".into())
    );
    region.step(2);
    assert_eq!(region.newest("app"), "Successful");
    assert_eq!((region.versions("app"), region.own_version("app")), (vec!["2".into(); 3], "2".into()));
}

#[test]
fn a_service_pins_digests_when_its_deployment_begins() {
    let Some(region) = region_or_skip("a_service_pins_digests_when_its_deployment_begins") else { return };
    region.cluster("main");
    let image = "registry.example/moving:v1";
    let definition = region.definition("app", image);
    region.service("main", "app", &definition, 2);
    let digests = |region: &super::moto::Region| -> Vec<String> {
        let tasks = region.tasks("main", "app");
        tasks.iter().map(|task| task.containers()[0].image_digest().unwrap_or_default().to_string()).collect()
    };
    let before = digests(&region);
    let moved = format!("sha256:{}", "7".repeat(64));
    region.move_tag(image, &moved);
    assert_eq!(digests(&region), before, "a tag that moves moves nothing that runs");
    region.get(region.ecs.update_service().cluster("main").service("app").force_new_deployment(true).send());
    region.step(8);
    assert_eq!(digests(&region), [moved.clone(), moved]);
}

#[test]
fn a_step_in_one_region_moves_no_other() {
    let test = "a_step_in_one_region_moves_no_other";
    let (Some(one), Some(other)) = (region_or_skip(test), region_or_skip(test)) else { return };
    for region in [&one, &other] {
        let template = region.template("app", &region.image("app-1", "v1"));
        let second = region.version(&template, &region.image("app-2", "v2"));
        region.group("app", &template, "1", 1, &[]);
        region.refresh("app", &template, second, 0);
    }
    one.step(3);
    assert_eq!((one.newest("app"), other.newest("app")), ("Successful".to_string(), "Pending".to_string()));
}
