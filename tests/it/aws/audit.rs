//! Who asked AWS for a change: CloudTrail's word beside what happened, where it is granted.

use jiff::{SignedDuration, Timestamp};
use rolldeck::domain::audit::{Audit, AuditQuestion};
use rolldeck::domain::id::{PlaceId, WorkloadId, WorkloadKind};
use rolldeck::domain::text::Text;
use serde_json::{Value, json};

use super::fake::{Fake, Fault, Launches, TemplateAt, Trace};
use super::watched::Watched;
use crate::journeys::desk::Desk;
use crate::real::moto::write_files;

const TEMPLATE: &str = "lt-00000000000000001";

fn trace(at: Timestamp, name: &str, by: &str, asked: &Value) -> Trace {
    let record = json!({
        "userIdentity": {"type": "AssumedRole", "arn": format!("arn:aws:sts::123456789012:assumed-role/{by}")},
        "sourceIPAddress": "203.0.113.7", "userAgent": "aws-cli/2.31", "requestParameters": asked,
    });
    Trace { at, name: name.to_string(), record }
}

fn question(kind: WorkloadKind, namespace: Option<&str>, name: &str, at: Timestamp) -> AuditQuestion {
    AuditQuestion {
        workload: WorkloadId {
            place: PlaceId::new("aws/here"),
            namespace: namespace.map(Text::new),
            kind,
            name: Text::new(name),
        },
        from: at - SignedDuration::from_mins(15),
        until: at + SignedDuration::from_mins(5),
    }
}

fn watched(fake: &Fake) -> Watched {
    let files = tempfile::tempdir().expect("a folder");
    write_files(files.path());
    Watched::of(&fake.with(|world| world.region.clone()), &fake.url(), files)
}

fn words(audit: &Audit) -> Vec<String> {
    audit.records().iter().map(|record| record.words()).collect()
}

#[tokio::test]
async fn each_workload_is_told_what_was_asked_of_it_and_no_other() {
    let fake = Fake::start().await;
    fake.seed_fleet(3, 3);
    fake.seed_tasks(1, 1);
    let now = Timestamp::now();
    let ago = |minutes| now - SignedDuration::from_mins(minutes);
    fake.with(|world| {
        world.trail = vec![
            trace(ago(40), "UpdateAutoScalingGroup", "old/eve", &json!({"autoScalingGroupName": "group-000"})),
            trace(
                ago(9),
                "CreateLaunchTemplateVersion",
                "bake/bob",
                &json!({"CreateLaunchTemplateVersionRequest": {"LaunchTemplateId": TEMPLATE}}),
            ),
            trace(ago(8), "StartInstanceRefresh", "deploy/anna", &json!({"autoScalingGroupName": "group-000"})),
            trace(ago(7), "StartInstanceRefresh", "deploy/carl", &json!({"autoScalingGroupName": "group-002"})),
            trace(ago(6), "UpdateService", "deploy/dora", &json!({"cluster": "shop", "service": "service-000"})),
            trace(ago(5), "UpdateService", "deploy/fred", &json!({"cluster": "other", "service": "service-000"})),
        ];
    });
    let watched = watched(&fake);
    let asked = vec![
        question(WorkloadKind::AutoScalingGroup, None, "group-000", now),
        question(WorkloadKind::AutoScalingGroup, None, "group-002", now),
        question(WorkloadKind::EcsService, Some("shop"), "service-000", now),
        question(WorkloadKind::Machine, None, "i-1", now),
    ];
    let said = watched.audit(asked).await;
    let by = |who: &str| format!("by arn:aws:sts::123456789012:assumed-role/{who} with aws-cli/2.31 from 203.0.113.7");
    assert_eq!(
        words(&said[0]),
        [
            format!("StartInstanceRefresh {}", by("deploy/anna")),
            format!("CreateLaunchTemplateVersion {}", by("bake/bob"))
        ]
    );
    assert_eq!(words(&said[1]), [format!("StartInstanceRefresh {}", by("deploy/carl"))], "another template");
    assert_eq!(words(&said[2]), [format!("UpdateService {}", by("deploy/dora"))]);
    assert!(matches!(&said[3], Audit::Unknown(why) if why.contains("groups and services alone")), "{:?}", said[3]);
    assert_eq!(fake.count("LookupEvents"), 13, "one for each action, whatever the number of questions");
}

#[tokio::test]
async fn more_events_than_may_be_read_are_said_to_be_a_part() {
    let fake = Fake::start().await;
    fake.seed_tasks(1, 1);
    let now = Timestamp::now();
    let asked = json!({"cluster": "shop", "service": "service-000"});
    let many = |count: i64| {
        fake.with(|world| {
            let at = |number: i64| now - SignedDuration::from_millis(count - number);
            world.trail = (0..count).map(|number| trace(at(number), "UpdateService", "loop", &asked)).collect();
        });
    };
    many(120);
    let watched = watched(&fake);
    let question = || vec![question(WorkloadKind::EcsService, Some("shop"), "service-000", now)];
    let said = watched.audit(question()).await;
    assert!(matches!(&said[0], Audit::Said(records) if records.len() == 120), "three pages");
    many(501);
    let said = watched.audit(question()).await;
    assert!(matches!(&said[0], Audit::SaidInPart(records) if records.len() == 500), "ten pages and no more");
}

#[tokio::test]
async fn what_is_not_granted_says_which_policy_grants_it() {
    let fake = Fake::start().await;
    fake.seed_fleet(1, 1);
    fake.fail("LookupEvents", Fault::Denied, 1);
    let watched = watched(&fake);
    let asked = || vec![question(WorkloadKind::AutoScalingGroup, None, "group-000", Timestamp::now())];
    let said = watched.audit(asked()).await;
    assert!(matches!(&said[0], Audit::Unknown(why) if why.contains("docs/aws/audit.json")), "{said:?}");
    fake.fail("LookupEvents", Fault::Broken, usize::MAX);
    let said = watched.audit(asked()).await;
    assert!(matches!(&said[0], Audit::Unknown(why) if why.contains("cloudtrail:LookupEvents")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_and_an_export_name_who_changed_a_group() {
    let fake = Fake::start().await;
    fake.seed_fleet(1, 1);
    let desk = Desk::at(&[]);
    let folder = desk.directory().join(".aws");
    std::fs::create_dir_all(&folder).expect("a folder");
    write_files(&folder);
    let region = fake.with(|world| world.region.clone());
    let url = fake.url();
    desk.configure(&format!(
        "[[places]]\nkind = \"aws\"\nid = \"aws/fake\"\nregion = \"{region}\"\nendpoint_url = \"{url}\""
    ));
    let run = |words: &[&str]| tokio::task::block_in_place(|| desk.run(words));
    run(&["fleet"]).ended(0);
    fake.with(|world| {
        let group = world.groups.get_mut("group-000").expect("there");
        group.launches = Launches::Template(TemplateAt::new(TEMPLATE, "1"));
        world.trail.push(trace(
            Timestamp::now(),
            "UpdateAutoScalingGroup",
            "deploy/anna",
            &json!({"autoScalingGroupName": "group-000"}),
        ));
    });
    let quiet = run(&["timeline", "--since", "1h"]).json();
    assert_eq!((quiet["rows"][0]["event"].as_str(), &quiet["rows"][0]["audit"]), (Some("requested"), &Value::Null));
    assert_eq!(fake.count("LookupEvents"), 0, "nobody has asked for it");
    let asked = run(&["timeline", "--since", "1h", "--audit"]).json();
    let audit = &asked["rows"][0]["audit"];
    assert_eq!((&audit["complete"], &audit["reason"]), (&json!(true), &Value::Null), "{asked}");
    assert_eq!(audit["records"][0]["by"], "arn:aws:sts::123456789012:assumed-role/deploy/anna");
    assert_eq!(audit["records"][0]["with"], "aws-cli/2.31");
    let folder = desk.directory().join("incident");
    std::fs::create_dir(&folder).expect("a folder");
    let said = run(&["export", "--audit", "--directory", folder.to_str().expect("a path")]).ended(0);
    let file = said.out.lines().find(|line| line.ends_with(".md")).expect("its name");
    let text = std::fs::read_to_string(file).expect("readable");
    assert!(text.contains("UpdateAutoScalingGroup by arn:aws:sts::123456789012:assumed-role/deploy/anna"), "{text}");
}
