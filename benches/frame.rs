//! How long a frame, a key and a filter take at 100,000 instances. DESIGN section 3: frame build at most 1 ms at 200x50
//! for any size of fleet, key to finished frame at most 8 ms, a filter over 100,000 rows at most 25 ms.
//!
//! Never asserts: figures are for people.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use rolldeck::app::effect::Effect;
use rolldeck::app::event::{Event, TerminalEvent};
use rolldeck::app::filter::{self, FilterQuestion};
use rolldeck::app::model::Model;
use rolldeck::app::settings::{Access, Connection, Look, PlaceSetting, Settings};
use rolldeck::app::timeline::{Kept, Timeline};
use rolldeck::app::{ui, update, view};
use rolldeck::domain::expectation::ServiceKeys;
use rolldeck::domain::id::{PlaceId, Uid, WorkloadId, WorkloadKind};
use rolldeck::domain::image::{DigestKind, ImageId, ImageRef};
use rolldeck::domain::journal::Driver;
use rolldeck::domain::observation::{
    Batch, ContainerSeen, ContainerSpec, Health, InstanceSeen, Observation, Owner, Phase, PlaceState, Role, Rollout,
    Source, Strategy, Template, TemplateHash, WorkloadSeen,
};
use rolldeck::domain::policy::Policy;
use rolldeck::domain::text::Text;
use rolldeck::domain::timeline::{Happened, Happening, Retention};

const PLACES: usize = 10;
const WORKLOADS: usize = 1_000;
const PODS: usize = 10;

fn fleet() -> Model {
    fleet_of(PLACES, &|now| (0..WORKLOADS).flat_map(|number| workload(number, now)).collect())
}

/// One service in fifty places, each with twenty images of its own.
fn many_versions() -> Model {
    let nth = std::cell::Cell::new(0_u32);
    fleet_of(50, &|now| {
        let mut observations = workload(7, now);
        let pod = observations.pop().expect("it has pods");
        observations.truncate(1);
        for _ in 0..20 {
            nth.set(nth.get() + 1);
            let Observation::Instance(source, mut seen) = pod.clone() else { continue };
            seen.uid = Uid::new(&format!("pod-{}", nth.get()));
            let mut main = seen.containers[0].clone();
            let digest = format!("sha256:{:064x}", nth.get());
            main.running = Some(ImageId::oci(digest.parse().expect("a digest"), DigestKind::Repository));
            seen.containers = vec![main].into();
            observations.push(Observation::Instance(source, seen));
        }
        observations
    })
}

fn fleet_of(places: usize, in_each: &dyn Fn(Timestamp) -> Vec<Observation>) -> Model {
    let now = Timestamp::from_second(1_795_230_600).expect("a time");
    let places: Vec<PlaceId> = (0..places).map(|place| PlaceId::new(&format!("k8s/place-{place}"))).collect();
    let settings = Settings {
        policy: Policy::default(),
        declarations: Vec::new(),
        service_keys: ServiceKeys::default(),
        places: places
            .iter()
            .map(|id| PlaceSetting {
                id: id.clone(),
                kind: Text::new("kubernetes"),
                access: Access::Operable,
                connection: Connection::Wanted,
            })
            .collect(),
        access: Access::Operable,
        driver: Driver {
            who: Text::new("ada@ops"),
            host: Text::new("ops"),
            boot: Text::new("boot"),
            pid: 1,
            started_at: now,
        },
        incident: None,
        notices: Vec::new(),
        scenario: None,
        releases: Vec::new(),
        registries: Vec::new(),
        look: Look::default(),
    };
    let mut model = Model::new(settings, now);
    for place in &places {
        let mut observations = vec![Observation::Place(PlaceState::Live)];
        observations.extend(in_each(now));
        update::update(&mut model, Event::Observed(Batch { place: place.clone(), fetched_at: now, observations }));
    }
    update::update(&mut model, Event::Terminal(TerminalEvent::Resized(200, 50)));
    settle(&mut model);
    model
}

fn workload(number: usize, now: Timestamp) -> Vec<Observation> {
    let uid = format!("uid-{number}");
    let name = format!("service-{number:04}-{}", ["checkout", "search", "ledger", "mailer"][number % 4]);
    let version = if number.is_multiple_of(50) { "v42" } else { "v41" };
    let digest = format!("sha256:{:064x}", number * 7 + version.len());
    let asked: ImageRef = format!("registry.example/{name}:{version}@{digest}").parse().expect("an image");
    let running = ImageId::oci(digest.parse().expect("a digest"), DigestKind::Repository);
    let stray = ImageId::oci(format!("sha256:{:064x}", 99).parse().expect("a digest"), DigestKind::Repository);
    let seen = WorkloadSeen {
        uid: Uid::new(&uid),
        kind: WorkloadKind::Deployment,
        namespace: Some(Text::new(&format!("ns-{}", number % 40))),
        name: Text::new(&name),
        service: Text::new(&name),
        template: Template {
            hash: TemplateHash(Text::new(&digest)),
            containers: vec![ContainerSpec { name: Text::new("app"), role: Role::App, image: Some(asked.clone()) }],
            version: None,
            latent: None,
        },
        main_container: None,
        expected_annotation: None,
        generation: 1,
        observed_generation: 1,
        desired: PODS as u32,
        rollout: Rollout::Stable,
        running: None,
        canary: None,
        strategy: Strategy::default(),
        owners: Vec::new(),
        undoers: Vec::new(),
        requested_since: Some(now - Duration::from_secs(60 * (1 + 997 * number as u64 % 5000))),
        touched_by: None,
        inoperable: None,
        trouble: None,
    };
    let mut observations = vec![Observation::Workload(Source("workloads"), Box::new(seen))];
    for pod in 0..PODS {
        let is_stray = number.is_multiple_of(50) && pod == 0;
        observations.push(Observation::Instance(
            Source("pods"),
            Box::new(InstanceSeen {
                uid: Uid::new(&format!("{uid}-{pod}")),
                owner: Some(std::sync::Arc::new(Owner {
                    uid: Uid::new(&uid),
                    kind: WorkloadKind::Deployment,
                    name: Text::new(&name),
                })),
                service: Text::new(&name),
                namespace: Some(Text::new(&format!("ns-{}", number % 40))),
                name: Text::new(&format!("{name}-{:08x}-{pod:05}", number * 2_654_435)),
                revision: None,
                phase: Phase::Running,
                health: Health::Healthy,
                reason: None,
                platform: None,
                containers: vec![ContainerSeen {
                    name: Text::new("app"),
                    role: Role::App,
                    asked: Some(asked.clone()),
                    running: Some(if is_stray { stray.clone() } else { running.clone() }),
                }]
                .into(),
                started_at: Some(now - Duration::from_secs(3600)),
                restarts: 0,
                touched: None,
            }),
        ));
    }
    observations
}

fn settle(model: &mut Model) {
    while model.is_dirty() {
        for effect in ui::refresh(model) {
            if let Effect::Filter(question) = effect {
                update::update(model, Event::Filtered(filter::answer(&question)));
            }
        }
        model.take_redraw();
    }
}

fn press(model: &mut Model, key: char) {
    let event = KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE);
    update::update(model, Event::Terminal(TerminalEvent::Pressed(event)));
}

fn draw(model: &Model) -> Buffer {
    let area = Rect::new(0, 0, 200, 50);
    let mut buffer = Buffer::empty(area);
    view::render(model, area, &mut buffer);
    buffer
}

fn question(model: &mut Model, filter: &str) -> FilterQuestion {
    FilterQuestion {
        number: 0,
        snapshot: model.fleet.snapshot(),
        filter: filter.to_string(),
        sort: 0,
        now: model.now,
        among: None,
    }
}

fn benches(criterion: &mut Criterion) {
    let mut model = fleet();
    for (key, name) in [('1', "drift"), ('2', "fleet"), ('4', "instances")] {
        press(&mut model, key);
        settle(&mut model);
        criterion.bench_function(&format!("frame {name} 200x50, 100k instances"), |bencher| {
            bencher.iter(|| black_box(draw(&model)));
        });
        criterion.bench_function(&format!("key to finished frame, {name}"), |bencher| {
            bencher.iter(|| {
                press(&mut model, 'j');
                let effects = ui::refresh(&mut model);
                model.take_redraw();
                black_box((effects.len(), draw(&model)))
            });
        });
    }
    for (key, name) in [('1', "drift"), ('2', "fleet")] {
        press(&mut model, key);
        settle(&mut model);
        criterion.bench_function(&format!("rows made again, {name}"), |bencher| {
            let beat = |model: &mut Model| {
                let observations = vec![Observation::Place(PlaceState::Live)];
                let (place, fetched_at) = (PlaceId::new("k8s/place-0"), model.now);
                update::update(model, Event::Observed(Batch { place, fetched_at, observations }));
            };
            bencher.iter(|| {
                beat(&mut model);
                black_box(ui::refresh(&mut model).len())
            });
        });
    }
    for words in ["ch", "chk", "svc:service-00* state:drift", "zq", ""] {
        let question = question(&mut model, words);
        criterion.bench_function(&format!("filter 100k rows by `{words}`"), |bencher| {
            bencher.iter_batched(
                || question.clone(),
                |question| black_box(filter::answer(&question)),
                BatchSize::SmallInput,
            );
        });
    }
    timeline(criterion, &mut model);
    compare(criterion);
    criterion
        .bench_function("snapshot of 100k instances", |bencher| bencher.iter(|| black_box(model.fleet.snapshot())));
}

/// A service side by side: 50 places, 1,000 images, of which each place has twenty.
fn compare(criterion: &mut Criterion) {
    let mut model = many_versions();
    press(&mut model, '3');
    settle(&mut model);
    criterion.bench_function("frame compare 200x50, 50 places x 20 images", |bencher| {
        bencher.iter(|| black_box(draw(&model)));
    });
    criterion.bench_function("rows made again, compare", |bencher| {
        bencher.iter(|| {
            let observations = vec![Observation::Place(PlaceState::Live)];
            let (place, fetched_at) = (PlaceId::new("k8s/place-0"), model.now);
            update::update(&mut model, Event::Observed(Batch { place, fetched_at, observations }));
            black_box(ui::refresh(&mut model).len())
        });
    });
}

/// What the timeline costs: a tick where nothing changed, a tick after a pod of one workload was replaced, a first look at
/// everything, and its screen with as many rows as are kept.
fn timeline(criterion: &mut Criterion, model: &mut Model) {
    let tick = |model: &mut Model| {
        let now = model.now + Duration::from_secs(1);
        update::update(model, Event::Ticked(now)).len()
    };
    criterion.bench_function("tick, nothing changed", |bencher| bencher.iter(|| black_box(tick(model))));
    let (mut one, mut other) = (workload(7, model.now), workload(7, model.now - Duration::from_secs(1)));
    let place = PlaceId::new("k8s/place-3");
    let mut report = |model: &mut Model| {
        std::mem::swap(&mut one, &mut other);
        let (place, fetched_at) = (place.clone(), model.now);
        update::update(model, Event::Observed(Batch { place, fetched_at, observations: one.clone() })).len()
    };
    criterion.bench_function("a workload of ten pods changed", |bencher| bencher.iter(|| black_box(report(model))));
    criterion.bench_function("a workload of ten pods changed, with the tick after it", |bencher| {
        bencher.iter(|| black_box(report(model) + tick(model)));
    });
    criterion.bench_function("first look at 10k workloads of 100k instances", |bencher| {
        let look = |mut model: Model| {
            tick(&mut model);
            model
        };
        bencher.iter_batched(fleet, look, BatchSize::PerIteration);
    });
    let kept = Kept { rows: (0..100_000).map(|number| happening(number, model.now)).collect(), ..Kept::default() };
    model.timeline = Timeline::of(kept, Retention::default());
    press(model, '6');
    settle(model);
    criterion.bench_function("frame timeline 200x50, 100k rows", |bencher| bencher.iter(|| black_box(draw(model))));
    let mut fill = |words: &str| {
        press(model, '/');
        update::update(model, Event::Terminal(TerminalEvent::Pasted(words.to_string())));
        let effects = ui::refresh(model).len();
        model.take_redraw();
        let escape = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
        update::update(model, Event::Terminal(TerminalEvent::Pressed(escape)));
        effects + ui::refresh(model).len()
    };
    for words in ["svc:service-00*", "age<1h", "kubectl"] {
        criterion.bench_function(&format!("timeline of 100k rows by `{words}`, and all again"), |bencher| {
            bencher.iter(|| black_box(fill(words)));
        });
    }
}

fn happening(number: u64, now: Timestamp) -> Happening {
    let digest = format!("sha256:{:064x}", number % 5_000).parse().expect("a digest");
    let name = format!("service-{:04}", number % 1_000);
    let workload = WorkloadId {
        place: PlaceId::new(&format!("k8s/place-{}", number % 10)),
        namespace: Some(Text::new("shop")),
        kind: WorkloadKind::Deployment,
        name: Text::new(&name),
    };
    Happening {
        at: now - Duration::from_secs(20 * number),
        after: None,
        workload,
        service: Text::new(&name),
        what: Happened::ALL[usize::try_from(number % 6).unwrap_or(0)],
        container: None,
        image: Some(ImageId::oci(digest, DigestKind::Repository)),
        reference: Some(Text::new("registry.example/shop/service:v41")),
        version: Some(Text::new("v41")),
        by: Some(Text::new("kubectl-set")),
        detail: Text::new("v40 -> v41; revision 7"),
    }
}

criterion_group! {
    name = frame;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = benches
}
criterion_main!(frame);
