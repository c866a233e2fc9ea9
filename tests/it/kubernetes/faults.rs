//! What the provider makes of a server that forgets, stalls, breaks off or refuses.

use std::time::Instant;

use rolldeck::domain::fleet::Fleet;
use rolldeck::domain::image::ImageRef;
use rolldeck::domain::journal::Call;
use rolldeck::domain::observation::PlaceState;
use rolldeck::domain::plan::Action;
use rolldeck::domain::text::Text;
use rolldeck::providers::Answer;
use serde_json::{Value, json};

use super::fake::{Fake, Fault};
use super::watched::Watched;

const PODS: &str = "/api/v1/pods";

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
        "spec": {"containers": [{"name": "app", "image": "shop/app:v41"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn has(fleet: &Fleet, name: &str) -> bool {
    fleet.instances().any(|(instance, _)| instance.seen.name == *name)
}

async fn with_pods(names: &[&str]) -> (Fake, Watched) {
    let fake = Fake::start().await;
    names.iter().for_each(|name| fake.put(PODS, pod(name)));
    let mut watched = Watched::start(&fake.kubeconfig(&json!({"token": "s3cret-canary"})), "fake");
    watched.until_state("live").await;
    (fake, watched)
}

#[tokio::test]
async fn long_lists_come_in_packed_pages_and_the_first_is_shown_at_once() {
    let fake = Fake::start().await;
    (0..1200).for_each(|number| fake.put(PODS, pod(&format!("p{number:04}"))));
    let mut watched = Watched::start(&fake.kubeconfig(&json!({})), "fake");
    let place = watched.place.clone();
    watched
        .until("the first page", |fleet| {
            let loading = &fleet.place(&place).expect("added").loading;
            loading.iter().any(|(source, seen, remaining)| (source.0, *seen, *remaining) == ("pods", 500, Some(700)))
        })
        .await;
    assert_eq!(watched.fleet.instance_count(), 500);
    watched.until_state("live").await;
    assert_eq!(watched.fleet.instance_count(), 1200);
    let pages = fake.requests("GET /api/v1/pods?limit=500");
    assert_eq!(pages.len(), 3);
    assert!(pages.iter().all(|page| page.headers["accept-encoding"].contains("gzip")));
    let watches = fake.requests("GET /api/v1/pods?watch=true");
    assert!(watches.iter().all(|watch| watch.headers["accept-encoding"] == "identity"), "{watches:?}");
}

#[tokio::test]
async fn a_closed_watch_goes_on_from_the_last_version() {
    let (fake, mut watched) = with_pods(&["a"]).await;
    fake.put(PODS, pod("b"));
    watched.until("the new pod", |fleet| has(fleet, "b")).await;
    fake.say(PODS, &json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "777"}}}));
    fake.put(PODS, pod("c"));
    watched.until("the pod after the bookmark", |fleet| has(fleet, "c")).await;
    let states = watched.states.len();
    // The fake's own versions are lower than the bookmark's: it is c's that counts, as it came last.
    fake.close_watches();
    fake.put(PODS, pod("d"));
    watched.until("the pod after the close", |fleet| has(fleet, "d")).await;
    fake.remove(PODS, "d");
    watched.until("it to be gone", |fleet| !has(fleet, "d")).await;
    let watches = fake.requests("GET /api/v1/pods?watch=true");
    assert!(watches.last().is_some_and(|watch| watch.path.ends_with("resourceVersion=103")), "{watches:?}");
    assert_eq!(fake.requests("GET /api/v1/pods?limit=500").len(), 1);
    assert_eq!(watched.states.len(), states, "a watch that ends is no news");
}

#[tokio::test]
async fn what_the_server_forgot_is_listed_again_and_what_vanished_is_gone() {
    let (fake, mut watched) = with_pods(&["a", "b"]).await;
    fake.lose(PODS, "b");
    fake.say(PODS, &json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}));
    watched.until("b to be gone", |fleet| !has(fleet, "b")).await;
    watched.until_state("live").await;
    assert!(has(&watched.fleet, "a"));

    fake.lose(PODS, "a");
    fake.put(PODS, pod("c"));
    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"});
    fake.fail("GET /api/v1/pods?watch=true", Fault::Status(410, gone), 1);
    fake.close_watches();
    watched.until("a to be gone", |fleet| !has(fleet, "a") && has(fleet, "c")).await;
}

#[tokio::test]
async fn a_list_that_took_too_long_is_made_at_once() {
    let fake = Fake::start().await;
    (0..600).for_each(|number| fake.put(PODS, pod(&format!("p{number:03}"))));
    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "the provided continue parameter is too old"});
    fake.fail("GET /api/v1/pods?limit=500&continue=", Fault::Status(410, gone), 1);
    let mut watched = Watched::start(&fake.kubeconfig(&json!({})), "fake");
    watched.until_state("live").await;
    assert_eq!(watched.fleet.instance_count(), 600);
}

#[tokio::test]
async fn a_server_that_asks_for_a_moment_is_no_fault_and_one_that_never_stops_is() {
    let busy =
        json!({"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": "storage is (re)initializing"});
    let fake = Fake::start().await;
    fake.put(PODS, pod("a"));
    fake.fail("GET /api/v1/pods?limit=1", Fault::Status(429, busy.clone()), 1);
    fake.fail("GET /api/v1/pods?limit=500", Fault::Status(429, busy.clone()), 2);
    fake.fail("GET /api/v1/pods?watch=true", Fault::Status(429, busy.clone()), 1);
    let mut watched = Watched::start(&fake.kubeconfig(&json!({})), "fake");
    watched.until_state("live").await;
    let said: Vec<&str> = watched.states.iter().map(PlaceState::as_str).collect();
    assert_eq!(said, ["loading", "live"]);

    fake.fail("GET /api/v1/pods?watch=true", Fault::Status(429, busy), usize::MAX);
    fake.close_watches();
    watched
        .until("what is stale", |fleet| fleet.places()[0].state.reason().is_some_and(|why| why.contains("429")))
        .await;
    fake.heal();
    watched.until_state("live").await;
}

#[tokio::test]
async fn a_torn_list_keeps_what_was_known_and_comes_back() {
    let fake = Fake::start().await;
    fake.put(PODS, pod("a"));
    fake.fail("GET /api/v1/pods?limit=500", Fault::Torn, 2);
    let mut watched = Watched::start(&fake.kubeconfig(&json!({})), "fake");
    let state = watched.until_state("unreachable").await;
    assert!(state.reason().is_some_and(|why| why.contains("pods: the answer broke off")), "{state:?}");
    watched.until_state("live").await;

    fake.fail("GET ", Fault::Reset, usize::MAX);
    fake.close_watches();
    let state = watched.until_state("stale").await;
    assert!(state.reason().is_some_and(|why| why.contains("no answer")), "{state:?}");
    assert!(has(&watched.fleet, "a"), "the last data is kept");
    fake.put(PODS, pod("b"));
    fake.heal();
    watched.until_state("live").await;
    watched.until("what was missed", |fleet| has(fleet, "b")).await;
    assert_eq!(fake.requests("GET /api/v1/pods?limit=500").len(), 3, "it went on from where it was");
}

/// The clock is real: sockets do not wait for a paused one. What is asserted has four times the time it needs.
#[tokio::test]
async fn a_connection_that_is_dead_without_a_word_is_noticed() {
    let (fake, mut watched) = with_pods(&["a"]).await;
    let states = watched.states.len();
    fake.stall(true);
    let since = Instant::now();
    let state = watched.until_state("stale").await;
    assert!(since.elapsed().as_secs() < 55, "{:?}", since.elapsed());
    assert!(state.reason().is_some_and(|why| why.contains("no answer within 3 s")), "{state:?}");
    assert_eq!(watched.states.len(), states + 1);
    fake.put(PODS, pod("b"));
    fake.stall(false);
    watched.until_state("live").await;
    assert!(has(&watched.fleet, "b"), "live means that what was missed is there");
}

/// One watch can die alone, beside a probe that is answered. No test can make a packet vanish without a word; that the
/// kernel asks on every open connection is seen in its table (`/proc/net/tcp`: timer 02 is keepalive, in 1/100 s).
#[cfg(target_os = "linux")]
#[tokio::test]
async fn every_open_connection_is_asked_by_the_kernel_whether_it_is_there() {
    let (fake, _watched) = with_pods(&["a"]).await;
    let config = std::fs::read_to_string(fake.folder().join("config")).expect("it is there");
    let port = config.split("http://127.0.0.1:").nth(1).and_then(|rest| rest.split('"').next());
    let port: u16 = port.and_then(|port| port.parse().ok()).expect("a port");
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("Linux");
    let is_ours = |fields: &Vec<&str>| fields[2].ends_with(&format!(":{port:04X}")) && fields[3] == "01";
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let ours: Vec<&Vec<&str>> = rows.iter().filter(|fields| is_ours(fields)).collect();
    assert!(ours.len() >= 8, "one for each watch: {ours:?}");
    for fields in ours {
        let (timer, when) = fields[5].split_once(':').expect("a timer");
        let hundredths = u64::from_str_radix(when, 16).expect("a time");
        assert!(timer == "02" && hundredths <= 600, "{fields:?}");
    }
}

#[tokio::test]
async fn a_kind_that_is_forbidden_hides_no_other_and_text_from_outside_is_harmless() {
    let fake = Fake::start().await;
    fake.put(PODS, pod("a"));
    let forbidden =
        json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "jobs\u{1b}[31m is forbidden"});
    fake.fail("GET /apis/batch/v1/jobs", Fault::Status(403, forbidden), usize::MAX);
    let mut watched = Watched::start(&fake.kubeconfig(&json!({})), "fake");
    watched.until_state("live").await;
    let limits = &watched.fleet.place(&watched.place).expect("added").limits;
    let texts: Vec<(&str, &str)> = limits.iter().map(|(source, why)| (source.0, why.as_str())).collect();
    assert_eq!(texts, [("jobs", "jobs?[31m is forbidden (403)")]);
}

/// A plugin that gives the token in a file, and counts its runs.
fn plugin(fake: &Fake) -> Value {
    use std::os::unix::fs::PermissionsExt as _;
    let path = fake.folder().join("plugin");
    let script = "#!/bin/sh\necho run >>\"$0.runs\"\n[ -f \"$0.token\" ] || { echo 'please sign in' >&2; exit 1; }\n\
        echo '{\"status\": {\"token\": \"'$(cat \"$0.token\")'\"}}'\n";
    std::fs::write(&path, script).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": path, "interactiveMode": "Never"}})
}

#[tokio::test]
async fn a_refused_token_is_fetched_again_once_and_nobody_notices() {
    let fake = Fake::start().await;
    let (token, runs) = (fake.folder().join("plugin.token"), fake.folder().join("plugin.runs"));
    let runs = || std::fs::read_to_string(&runs).map_or(0, |runs| runs.lines().count());
    std::fs::write(&token, "first-token").expect("written");
    fake.require_token("first-token");
    let mut watched = Watched::start(&fake.kubeconfig(&plugin(&fake)), "fake");
    watched.until_state("live").await;
    assert_eq!(runs(), 1);
    let states = watched.states.len();
    std::fs::write(&token, "second-token").expect("written");
    fake.require_token("second-token");
    fake.close_watches();
    fake.put(PODS, pod("a"));
    watched.until("the pod", |fleet| has(fleet, "a")).await;
    assert_eq!((runs(), watched.states.len()), (2, states));

    std::fs::remove_file(&token).expect("removed");
    fake.require_token("third-token");
    fake.close_watches();
    let state = watched.until_state("auth_expired").await;
    assert!(
        matches!(&state, PlaceState::AuthExpired(how) if how.contains("please sign in") && how.contains("in a shell")),
        "{state:?}"
    );
    assert!(has(&watched.fleet, "a"), "the last data is kept");
}

const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments";

fn deployment() -> Value {
    json!({"metadata": {"name": "app", "namespace": "shop", "uid": "d1", "generation": 1},
        "spec": {"replicas": 0, "template": {"spec": {"containers": [{"name": "app", "image": "shop/app:v41"}]}}},
        "status": {"observedGeneration": 1}})
}

/// Orders a new image and says how it went and how many PATCHes were sent.
async fn ordered(fault: Option<Fault>) -> (Answer, usize) {
    let fake = Fake::start().await;
    fake.put(DEPLOYMENTS, deployment());
    fake.put(DEPLOYMENT, deployment());
    let mut watched = Watched::start(&fake.kubeconfig(&json!({})), "fake");
    watched.until_state("live").await;
    if let Some(fault) = fault {
        fake.fail("PATCH ", fault, usize::MAX);
    }
    let image: ImageRef = "shop/app:v42".parse().expect("an image");
    let step = watched.step("shop", "app", Action::SetImage { container: Text::new("app"), image });
    let answer = watched.execute("o-1", Call::Step, &step).await;
    let sent = fake.requests("PATCH ");
    assert!(sent.iter().all(|request| {
        let metadata = &request.body["metadata"];
        metadata["uid"] == "d1"
            && metadata["resourceVersion"].is_string()
            && request.path.contains("fieldValidation=Strict")
    }));
    (answer, sent.len())
}

#[tokio::test]
async fn each_answer_says_whether_anything_was_done_and_nothing_is_sent_twice() {
    let status = |code: u16, message: &str| {
        Some(Fault::Status(code, json!({"kind": "Status", "code": code, "message": message})))
    };
    let budget = json!({"kind": "Status", "code": 429, "message": "no", "details": {"causes":
        [{"reason": "DisruptionBudget", "message": "needs 3 healthy pods and has 3 currently"}]}});
    for (fault, word, times) in [
        (None, "Accepted", 1),
        (Some(Fault::Reset), "Unanswered", 1),
        (Some(Fault::Torn), "Unanswered", 1),
        (status(500, "etcd fell over"), "Unanswered", 1),
        (status(503, "apiserver is going away"), "Unanswered", 1),
        (status(504, "timeout"), "Unanswered", 1),
        (status(500, "Internal error occurred: failed calling webhook \"x\""), "Refused", 1),
        (status(403, "not you"), "Refused", 1),
        (status(422, "field is immutable"), "Refused", 1),
        (status(409, "the object has been modified"), "Refused", 3),
        (Some(Fault::Status(429, budget)), "Blocked", 1),
        // Proves that nothing was done: signed in again, sent again, once; then it waits until somebody has signed in.
        (status(401, "Unauthorized"), "Blocked", 2),
    ] {
        let (answer, sent) = ordered(fault.clone()).await;
        let said = format!("{answer:?}");
        assert!(said.starts_with(word), "{fault:?}: {said}");
        assert_eq!(sent, times, "{fault:?}");
    }
}

#[tokio::test]
async fn without_a_server_nothing_is_sent() {
    let fake = Fake::start().await;
    fake.put(DEPLOYMENTS, deployment());
    let mut watched = Watched::start(&fake.kubeconfig(&json!({})), "fake");
    watched.until_state("live").await;
    let image: ImageRef = "shop/app:v42".parse().expect("an image");
    let step = watched.step("shop", "app", Action::SetImage { container: Text::new("app"), image });
    // Nobody listens on port 1.
    let path = fake.folder().join("elsewhere");
    let config = std::fs::read_to_string(fake.folder().join("config")).expect("it is there");
    let at = config.find("http://127.0.0.1:").expect("an address");
    let end = at + config[at..].find('"').expect("it ends");
    std::fs::write(&path, format!("{}http://127.0.0.1:1{}", &config[..at], &config[end..])).expect("written");
    let mut elsewhere = Watched::start(&path, "fake");
    let state = elsewhere.until_state("unreachable").await;
    assert!(state.reason().is_some_and(|why| why.contains("refused")), "{state:?}");
    let answer = elsewhere.execute("o-1", Call::Step, &step).await;
    // It waits for the server, as a step of a place that went dark does.
    assert!(matches!(&answer, Answer::Blocked(why) if why.contains("not sent")), "{answer:?}");
    assert!(fake.requests("PATCH ").is_empty());
}

#[tokio::test]
async fn a_kubeconfig_that_does_not_fit_says_what_is_missing() {
    let fake = Fake::start().await;
    let kubeconfig = fake.kubeconfig(&json!({"auth-provider": {"name": "gcp"}}));
    for (context, missing) in
        [("elsewhere", "no context elsewhere in"), ("fake", "auth-provider gcp, which is obsolete")]
    {
        let mut watched = Watched::start(&kubeconfig, context);
        let state = watched.until_state("misconfigured").await;
        assert!(state.reason().is_some_and(|why| why.contains(missing)), "{state:?}");
    }
    assert!(fake.requests("").is_empty(), "nothing was asked");
}
