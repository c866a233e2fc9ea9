//! An AWS in this process that does what a real one does not do on demand: throttles, forgets, breaks off, changes in
//! the middle of a list, and has 10,000 instances in no time.
//!
//! It knows one account in one region, and time moves only when a test steps it. It checks no signature and no
//! permission. Start with `World`; each service has a file for what it answers, refreshes and rollouts for what moves.

mod answer;
mod autoscaling;
mod ec2;
mod ecs;
mod records;
mod refresh;
mod request;
mod rollout;
mod seed;
mod trail;
mod world;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

pub(crate) use answer::Refusal;
use answer::{Answer, Reply, is_json};
pub(crate) use records::{Launches, Mixed, Override, TemplateAt};
pub(crate) use request::Request;
pub(crate) use rollout::tell_to_stop;
pub(crate) use trail::Trace;
pub(crate) use world::World;

/// The server; it ends with the test.
pub(crate) struct Fake {
    port: u16,
    state: Arc<Mutex<State>>,
}

/// What the server does instead of its duty, or on top of it.
#[derive(Clone)]
pub(crate) enum Fault {
    /// Asked too often.
    Throttle,
    /// The credentials are from yesterday.
    Expired,
    /// The credentials are good and may not do this.
    Denied,
    /// An error of the service's own.
    Refuse(Refusal),
    /// A page of HTML with status 500.
    Broken,
    /// Does what the request says and closes the connection without a word.
    Reset,
    /// Closes the connection and does nothing.
    Unheard,
    /// Does what the request says and tells so late.
    Slow(Duration),
    /// Does what the request says and sends half of the answer.
    Torn,
    /// The world changes before the second page of a list is made, or a later one.
    ChangeBetweenPages(Arc<dyn Fn(&mut World) + Send + Sync>),
}

struct State {
    world: World,
    log: Vec<Request>,
    /// By the start of an action: what goes wrong, and how often.
    faults: Vec<(String, Fault, usize)>,
    /// Answers of this state of the world, by request.
    kept: HashMap<String, Arc<Answer>>,
}

enum Act {
    Read(fn(&World, &Request) -> Reply),
    Write(fn(&mut World, &Request) -> Reply),
}

/// Everything that it knows: service, action, what it does.
const ACTIONS: &[(&str, &str, Act)] = &[
    ("sts", "GetCallerIdentity", Act::Read(ec2::caller)),
    ("ec2", "DescribeInstanceImageMetadata", Act::Read(ec2::image_metadata)),
    ("ec2", "DescribeInstances", Act::Read(ec2::instances)),
    ("ec2", "DescribeImages", Act::Read(ec2::images)),
    ("ec2", "DescribeLaunchTemplates", Act::Read(ec2::templates)),
    ("ec2", "DescribeLaunchTemplateVersions", Act::Read(ec2::versions)),
    ("autoscaling", "DescribeAutoScalingGroups", Act::Read(autoscaling::groups)),
    ("autoscaling", "DescribeInstanceRefreshes", Act::Read(autoscaling::refreshes)),
    ("autoscaling", "DescribeScalingActivities", Act::Read(autoscaling::activities)),
    ("autoscaling", "DescribeLaunchConfigurations", Act::Read(autoscaling::configurations)),
    ("autoscaling", "StartInstanceRefresh", Act::Write(refresh::start)),
    ("autoscaling", "CancelInstanceRefresh", Act::Write(refresh::cancel)),
    ("autoscaling", "RollbackInstanceRefresh", Act::Write(refresh::roll_back)),
    ("autoscaling", "TerminateInstanceInAutoScalingGroup", Act::Write(autoscaling::terminate)),
    ("ecs", "ListClusters", Act::Read(ecs::list_clusters)),
    ("ecs", "DescribeClusters", Act::Read(ecs::clusters)),
    ("ecs", "ListServices", Act::Read(ecs::list_services)),
    ("ecs", "DescribeServices", Act::Read(ecs::services)),
    ("ecs", "ListTasks", Act::Read(ecs::list_tasks)),
    ("ecs", "DescribeTasks", Act::Read(ecs::tasks)),
    ("ecs", "ListTaskDefinitions", Act::Read(ecs::list_definitions)),
    ("ecs", "DescribeTaskDefinition", Act::Read(ecs::definition)),
    ("ecs", "DescribeServiceRevisions", Act::Read(ecs::revisions)),
    ("ecs", "ListServiceDeployments", Act::Read(ecs::list_rollouts)),
    ("ecs", "DescribeServiceDeployments", Act::Read(ecs::rollouts)),
    ("ecs", "UpdateService", Act::Write(rollout::update_service)),
    ("ecs", "StopServiceDeployment", Act::Write(rollout::stop)),
    ("ecs", "StopTask", Act::Write(rollout::stop_task)),
    ("cloudtrail", "LookupEvents", Act::Read(trail::lookup)),
];

impl Fake {
    /// Starts one with nothing in it.
    pub(crate) async fn start() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let world = World::default();
        let state = State { world, log: Vec::new(), faults: Vec::new(), kept: HashMap::new() };
        let state = Arc::new(Mutex::new(state));
        let for_all = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, for_all.clone()));
            }
        });
        Fake { port, state }
    }

    /// The endpoint of every service.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Looks at the world, or changes it.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut state = self.state.lock().expect("no test panics in here");
        state.kept.clear();
        change(&mut state.world)
    }

    /// Groups of equal size on version 2 of their templates, two groups a template; nothing drifts.
    pub(crate) fn seed_fleet(&self, groups: usize, instances: usize) {
        self.with(|world| seed::fleet(world, groups, instances));
    }

    /// Services of equal size in one cluster, on revision 2 of their task definitions.
    pub(crate) fn seed_tasks(&self, services: usize, tasks: usize) {
        self.with(|world| seed::tasks(world, services, tasks));
    }

    /// Requests whose action starts with this go wrong, so often.
    pub(crate) fn fail(&self, start: &str, fault: Fault, times: usize) {
        self.state.lock().expect("no test panics in here").faults.push((start.to_string(), fault, times));
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.state.lock().expect("no test panics in here").faults.clear();
    }

    /// Every request that came, in its order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().expect("no test panics in here").log.clone()
    }

    /// How many requests for this action came.
    pub(crate) fn count(&self, action: &str) -> usize {
        let state = self.state.lock().expect("no test panics in here");
        state.log.iter().filter(|request| request.action == action).count()
    }
}

impl State {
    fn take(&mut self, request: &Request) -> (Option<Fault>, Arc<Answer>) {
        self.log.push(request.clone());
        let fault = self.fault(request);
        let refused = match &fault {
            Some(Fault::Throttle) => Some(throttled(request)),
            Some(Fault::Expired) => Some(expired(request)),
            Some(Fault::Denied) => Some(denied(request)),
            Some(Fault::Refuse(refusal)) => Some(refusal.clone()),
            Some(Fault::Broken | Fault::Unheard) => return (fault, Arc::new(Answer::broken())),
            Some(Fault::ChangeBetweenPages(change)) => {
                self.kept.clear();
                change(&mut self.world);
                None
            }
            Some(Fault::Reset | Fault::Slow(_) | Fault::Torn) | None => None,
        };
        let answer = match refused {
            Some(refusal) => Arc::new(Answer::new(request, Err(refusal))),
            None => self.answer(request),
        };
        (fault, answer)
    }

    fn fault(&mut self, request: &Request) -> Option<Fault> {
        let is_for = |fault: &Fault| !matches!(fault, Fault::ChangeBetweenPages(_)) || request.is_continued();
        let at = self
            .faults
            .iter()
            .position(|(start, fault, times)| *times > 0 && request.action.starts_with(start) && is_for(fault))?;
        self.faults[at].2 -= 1;
        Some(self.faults[at].1.clone())
    }

    fn answer(&mut self, request: &Request) -> Arc<Answer> {
        let known =
            ACTIONS.iter().find(|(service, action, _)| *service == request.service && *action == request.action);
        let Some((service, _, act)) = known else {
            return Arc::new(Answer::broken());
        };
        if *service == "ec2" && request.is_true("DryRun") {
            let message = "Request would have succeeded, but DryRun flag is set.".to_string();
            let refusal = Refusal { status: 412, code: "DryRunOperation", message };
            return Arc::new(Answer::new(request, Err(refusal)));
        }
        match act {
            Act::Write(write) => {
                self.kept.clear();
                Arc::new(Answer::new(request, write(&mut self.world, request)))
            }
            Act::Read(read) => {
                let key = format!("{service} {} {}", request.action, request.body);
                let fresh = || Arc::new(Answer::new(request, read(&self.world, request)));
                self.kept.entry(key).or_insert_with(fresh).clone()
            }
        }
    }
}

fn throttled(request: &Request) -> Refusal {
    match request.service.as_str() {
        "ec2" => Refusal { status: 503, code: "RequestLimitExceeded", message: "Request limit exceeded.".into() },
        service if is_json(service) => Refusal::new("ThrottlingException", "Rate exceeded"),
        _ => Refusal::new("Throttling", "Rate exceeded"),
    }
}

fn expired(request: &Request) -> Refusal {
    let message = "The security token included in the request is expired";
    match request.service.as_str() {
        "ec2" => Refusal::new("RequestExpired", "Request has expired."),
        service if is_json(service) => Refusal::new("ExpiredTokenException", message),
        _ => Refusal { status: 403, code: "ExpiredToken", message: message.into() },
    }
}

fn denied(request: &Request) -> Refusal {
    let Request { service, action, .. } = request;
    let message = format!("User: arn:aws:iam::123456789012:user/me is not authorized to perform: {service}:{action}");
    match service.as_str() {
        "ec2" => Refusal { status: 403, code: "UnauthorizedOperation", message },
        service if is_json(service) => Refusal::new("AccessDeniedException", message),
        _ => Refusal { status: 403, code: "AccessDenied", message },
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(request) = request::read(&mut stream, &mut buffer).await {
        let (fault, answer) = state.lock().expect("no test panics in here").take(&request);
        let mut bytes = head(&answer).into_bytes();
        bytes.extend_from_slice(&answer.body);
        match fault {
            Some(Fault::Reset | Fault::Unheard) => return,
            Some(Fault::Torn) => {
                let half = bytes.len() - answer.body.len() / 2;
                let _ = stream.write_all(&bytes[..half]).await;
                return;
            }
            Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
            _ => {}
        }
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

fn head(answer: &Answer) -> String {
    let Answer { status, media, body } = answer;
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {media}\r\ncontent-length: {}\r\nx-amzn-requestid: fake\r\n\r\n",
        body.len()
    )
}
