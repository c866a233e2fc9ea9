//! What each kind of file names, and what is refused.

use serde_json::json;

use super::*;

const EAST: &str = "ami-0123456789abcdef0";
const WEST: &str = "ami-0fedcba9876543210";

/// Each image with its service, version and places.
fn read_text(text: &str, name: &str, hints: &Hints) -> Result<Vec<String>, String> {
    let releases = understand(text, name, hints).map_err(|error| format!("{error:#}"))?;
    let rows = releases.iter().flat_map(|release| {
        release.images.iter().map(|placed| {
            let places: Vec<&str> = placed.places.iter().map(Text::as_str).collect();
            format!("{} {} {} [{}]", release.service, release.version, placed.image, places.join(" "))
        })
    });
    Ok(rows.collect())
}

fn hints(service: &str, version: &str) -> Hints {
    Hints { service: Some(Text::new(service)), version: Some(Text::new(version)), places: Vec::new() }
}

#[test]
fn a_release_file_is_read_in_both_forms_and_nothing_is_passed_over() {
    let toml = format!(
        "[[release]]\nservice = \"app\"\nversion = \"v41\"\nmade_at = \"2026-11-26T08:00:00Z\"\n\
         [[release.images]]\nimage = \"shop/app:v41\"\nplaces = [\"k8s/*\"]\n[[release.images]]\nimage = \"{EAST}\"\n"
    );
    let expected = vec!["app v41 shop/app:v41 [k8s/*]".to_string(), format!("app v41 {EAST} []")];
    assert_eq!(read_text(&toml, "ci.toml", &Hints::default()), Ok(expected.clone()));
    let json = json!({"release": [{"service": "app", "version": "v41",
        "images": [{"image": "shop/app:v41", "places": ["k8s/*"]}, {"image": EAST}]}]});
    assert_eq!(read_text(&json.to_string(), "ci.json", &Hints::default()), Ok(expected));
    for (wrong, expected) in [
        ("[[release]]\nservice = \"a\"\nversion = \"1\"\nimages = []\n", "has no image"),
        ("[[release]]\nservice = \"a\"\nversion = \"1\"\nimages = [{imagee = \"x\"}]\n", "unknown field `imagee`"),
        ("[[release]]\nservice = \"a\"\nversion = \"1\"\nimages = [{image = \"a b\"}]\n", "no image reference"),
        ("[[release]]\nservice = \"a\"\nversion = \"1\"\nmade_at = \"now\"\nimages = [{image = \"x\"}]\n", "made_at"),
        ("[[release]\n", "line 1"),
    ] {
        let why = read_text(wrong, "ci.toml", &Hints::default()).expect_err(wrong);
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn the_last_run_of_packer_is_one_version_in_all_of_its_regions() {
    let build = |run: &str, artifact: &str| {
        json!({"name": "app", "builder_type": "amazon-ebs", "build_time": 1_795_000_000, "artifact_id": artifact,
            "packer_run_uuid": run, "custom_data": {"version": "118"}})
    };
    let manifest = json!({"builds": [build("old", "us-east-1:ami-00000000000000000"),
        build("new", &format!("us-east-1:{EAST},eu-west-1:{WEST}"))], "last_run_uuid": "new"});
    let expected = vec![
        format!("app 118 {EAST} [aws/*/us-east-1 aws/us-east-1]"),
        format!("app 118 {WEST} [aws/*/eu-west-1 aws/eu-west-1]"),
    ];
    let hints = Hints { service: Some(Text::new("app")), ..Hints::default() };
    assert_eq!(read_text(&manifest.to_string(), "packer-manifest.json", &hints), Ok(expected));
    let why = read_text(&manifest.to_string(), "packer-manifest.json", &Hints::default()).expect_err("no service");
    assert!(why.contains("--service"), "{why}");
}

#[test]
fn an_image_of_image_builder_is_read_when_it_is_whole() {
    let image = |status: &str| {
        json!({"image": {"version": "1.0.3/1", "state": {"status": status}, "dateCreated": "2026-11-20T08:00:00Z",
            "outputResources": {"amis": [{"region": "us-east-1", "image": EAST}, {"region": "eu-west-1", "image": WEST}]}}})
    };
    let hints = Hints { service: Some(Text::new("app")), ..Hints::default() };
    let rows = read_text(&image("AVAILABLE").to_string(), "image.json", &hints).expect("readable");
    assert_eq!(rows[1], format!("app 1.0.3/1 {WEST} [aws/*/eu-west-1 aws/eu-west-1]"));
    assert_eq!(read_text(&image("TESTING").to_string(), "image.json", &hints), Ok(Vec::new()));
}

#[test]
fn a_state_of_terraform_names_groups_machines_and_workloads() {
    let arn = "arn:aws:autoscaling:us-east-1:1:autoScalingGroup:x";
    let resource = |kind: &str, values: Value| json!({"mode": "managed", "type": kind, "values": values});
    let state = json!({"terraform_version": "1.9.0", "values": {"root_module": {
    "resources": [resource("aws_launch_template", json!({"id": "lt-1", "image_id": EAST}))],
    "child_modules": [{"resources": [
        resource("aws_autoscaling_group", json!({"name": "shop-asg", "arn": arn, "launch_template": [{"id": "lt-1"}],
            "tag": [{"key": "Service", "value": "shop"}]})),
        resource("kubernetes_deployment_v1", json!({"metadata": [{"name": "web", "labels": {"app": "app"}}],
            "spec": [{"template": [{"spec": [{"container": [{"name": "web", "image": "shop/web:v7"}]}]}]}]})),
        json!({"mode": "data", "type": "aws_instance", "values": {"ami": WEST}}),
    ]}]}}});
    let rows =
        read_text(&state.to_string(), "state.json", &Hints { version: Some(Text::new("118")), ..Hints::default() });
    assert_eq!(
        rows,
        Ok(vec![format!("shop 118 {EAST} [aws/*/us-east-1 aws/us-east-1]"), "app 118 shop/web:v7 []".to_string()])
    );
    let releases = understand(&state.to_string(), "state.json", &hints("shop", "118")).expect("readable");
    assert!(releases.iter().all(|release| release.declared_by == Some(Declarer::Terraform)));
}

#[test]
fn a_template_of_cloudformation_names_what_is_written_in_it() {
    let template = json!({"TemplateBody": {"Resources": {
        "Web": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateName": "web",
            "LaunchTemplateData": {"ImageId": EAST}}},
        "Other": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": {"ImageId": {"Ref": "Ami"}}}},
        "Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": {"Family": "pay",
            "ContainerDefinitions": [{"Name": "pay", "Image": "shop/pay:v3"}]}},
    }}});
    let rows =
        read_text(&template.to_string(), "stack.json", &Hints { version: Some(Text::new("9")), ..Hints::default() });
    let mut rows = rows.expect("readable");
    rows.sort();
    assert_eq!(rows, ["pay 9 shop/pay:v3 []".to_string(), format!("web 9 {EAST} []")]);
}

#[test]
fn rendered_manifests_and_compose_files_name_their_images() {
    let manifest = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n---\napiVersion: apps/v1\nkind: Deployment\n\
        metadata: {name: web, labels: {app.kubernetes.io/name: shop}}\nspec:\n  template:\n    spec:\n      containers:\n\
        \x20     - {name: web, image: 'shop/web:v7'}\n---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\n\
        spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: 'shop/job:v2'}]}}}}}\n";
    let rows = read_text(manifest, "all.yaml", &Hints::default());
    assert_eq!(rows, Ok(vec!["shop v7 shop/web:v7 []".to_string(), "nightly v2 shop/job:v2 []".to_string()]));
    let compose = "services:\n  web: {image: 'shop/web:v7'}\n  db: {build: .}\n";
    assert_eq!(read_text(compose, "compose.yaml", &Hints::default()), Ok(vec!["web v7 shop/web:v7 []".to_string()]));
}

#[test]
fn what_is_none_of_them_says_so() {
    for text in ["{}", "[]", "{\"builds\": 7}", "{\"a\": "] {
        let why = read_text(text, "x.json", &Hints::default()).expect_err(text);
        assert!(why.contains("it is none of") || why.contains("it is no JSON"), "{why}");
    }
    // A small file that would be a large one.
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
        d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
        g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    let _ = read_text(bomb, "bomb.yaml", &Hints::default());
}

#[test]
fn two_images_for_one_container_in_one_place_are_no_release() {
    let file = |first: &str, second: &str| {
        let image = |more: &str| format!("{{image = \"shop/web:{more}}}");
        format!("[[release]]\nservice = \"web\"\nversion = \"v7\"\nimages = [{}, {}]\n", image(first), image(second))
    };
    let read = |first: &str, second: &str| read_text(&file(first, second), "r.toml", &Hints::default());
    let why = read("v7\"", "v8\"").expect_err("which one?");
    assert!(why.contains("shop/web:v7 and shop/web:v8 are for one container in one place"), "{why}");
    read("v7\", places = [\"a\", \"b\"]", "v8\", places = [\"b\"]").expect_err("in b");
    read("v7\", container = \"x\"", "v8\", container = \"x\"").expect_err("in x");
    read("v7\", places = [\"a\"]", "v8\", places = [\"b\"]").expect("each has its own");
    read("v7\", container = \"x\"", "v8\", container = \"y\"").expect("each has its own");
    read("v7\"", "v7\"").expect("the same twice");
    let machines = "[[release]]\nservice = \"web\"\nversion = \"v7\"\nimages = [{image = \"ami-0aaaaaaaaaaaaaaaa\"}, \
        {image = \"ami-0bbbbbbbbbbbbbbbb\"}]\n";
    read_text(machines, "r.toml", &Hints::default()).expect("one for each architecture");
}
