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

/// Who did what to what, newest first, and why there may be more.
fn told(audit: &Audit) -> (Vec<String>, String) {
    let Audit::Said { records, .. } = audit else { panic!("{audit:?}") };
    let words = records.iter().map(|record| {
        let by = record.by.rsplit_once("assumed-role/").map_or("", |(_, by)| by);
        format!("{by}: {} {}", record.action, record.target)
    });
    (words.collect(), audit.lacks().map(|lacks| lacks.to_string()).unwrap_or_default())
}

/// Long enough ago for all of it to be in CloudTrail.
fn settled() -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(1)
}

#[tokio::test]
async fn each_workload_is_told_what_was_asked_of_it_and_no_other() {
    let fake = Fake::start().await;
    fake.seed_fleet(3, 3);
    fake.seed_tasks(1, 1);
    let now = settled();
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
    let whole = |words: &[&str]| (words.iter().map(ToString::to_string).collect::<Vec<String>>(), String::new());
    let group = [
        "deploy/anna: StartInstanceRefresh group group-000",
        "bake/bob: CreateLaunchTemplateVersion launch template lt-00000000000000001",
    ];
    assert_eq!(told(&said[0]), whole(&group));
    assert_eq!(told(&said[1]), whole(&["deploy/carl: StartInstanceRefresh group group-002"]), "another template");
    assert_eq!(told(&said[2]), whole(&["deploy/dora: UpdateService service shop/service-000"]));
    assert!(matches!(&said[3], Audit::Absent(why) if why.contains("groups and services alone")), "{:?}", said[3]);
    assert_eq!(fake.count("LookupEvents"), 16, "one for each action, whatever the number of questions");

    // Of a template that can't be looked up nothing is known, and that is said.
    fake.fail("DescribeAutoScalingGroups", Fault::Denied, usize::MAX);
    let asked = vec![question(WorkloadKind::AutoScalingGroup, None, "group-000", now)];
    let (words, missing) = told(&watched.audit(asked).await[0]);
    assert_eq!(words, group[..1]);
    assert!(missing.contains("its launch template is not known"), "{missing}");
}

#[tokio::test]
async fn more_events_than_may_be_read_are_said_to_be_a_part() {
    let fake = Fake::start().await;
    fake.seed_tasks(1, 1);
    let now = settled();
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
    let (words, missing) = told(&watched.audit(question()).await[0]);
    assert_eq!((words.len(), missing.as_str()), (120, ""), "three pages");
    many(501);
    // The newest of them are all there.
    let newest = AuditQuestion { from: now, ..question()[0].clone() };
    let said = watched.audit([question(), vec![newest]].concat()).await;
    let (words, missing) = told(&said[0]);
    assert_eq!((words.len(), missing.as_str()), (500, "there is more of UpdateService than was read"));
    assert_eq!(told(&said[1]).1, "", "what is cut off is older");
}

#[tokio::test]
async fn what_is_late_or_no_longer_kept_is_said() {
    let fake = Fake::start().await;
    fake.seed_tasks(1, 1);
    let watched = watched(&fake);
    let at = |hours| {
        question(
            WorkloadKind::EcsService,
            Some("shop"),
            "service-000",
            Timestamp::now() - SignedDuration::from_hours(hours),
        )
    };
    let said = watched.audit(vec![at(0), at(1), at(24 * 91)]).await;
    assert!(told(&said[0]).1.contains("may come in later"), "{said:?}");
    assert_eq!(told(&said[1]), (Vec::new(), String::new()));
    assert_eq!(said[2], Audit::Unknown(Text::new("CloudTrail keeps 90 days")));
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
    let asked = run(&["timeline", "--since", "1h", "--audit"]).ended(0).json();
    let audit = &asked["rows"][0]["audit"];
    assert_eq!((&audit["complete"], audit["records"].as_array().map(Vec::len)), (&json!(false), Some(1)), "{asked}");
    assert!(audit["reason"].as_str().is_some_and(|why| why.contains("later")), "{asked}");
    assert_eq!(audit["records"][0]["by"], "arn:aws:sts::123456789012:assumed-role/deploy/anna");
    assert_eq!(
        (&audit["records"][0]["with"], &audit["records"][0]["target"]),
        (&json!("aws-cli/2.31"), &json!("group group-000"))
    );
    let folder = desk.directory().join("incident");
    std::fs::create_dir(&folder).expect("a folder");
    let said = run(&["export", "--audit", "--directory", folder.to_str().expect("a path")]).ended(0);
    let file = said.out.lines().find(|line| line.ends_with(".md")).expect("its name");
    let text = std::fs::read_to_string(file).expect("readable");
    assert!(
        text.contains(
            "UpdateAutoScalingGroup of group group-000 by arn:aws:sts::123456789012:assumed-role/deploy/anna"
        ),
        "{text}"
    );

    fake.fail("LookupEvents", Fault::Denied, usize::MAX);
    let denied = run(&["timeline", "--since", "1h", "--audit"]).ended(3).json();
    let audit = &denied["rows"][0]["audit"];
    assert_eq!((&audit["records"], &audit["complete"]), (&Value::Null, &json!(false)), "{denied}");
    let said = run(&["export", "--audit", "--directory", folder.to_str().expect("a path")]).ended(3);
    let file = said.out.lines().find(|line| line.ends_with(".md")).expect("its name");
    let text = std::fs::read_to_string(file).expect("readable");
    assert!(text.contains("audit log: cloudtrail:LookupEvents is not granted"), "{text}");
}
