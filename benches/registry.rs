//! How long it takes until 500 images that nobody has heard of are known: what their tags stand for, their documents and labels.
//! The registry is in this process and answers at once, so that this is our own time; what it costs a registry is a test
//! (`tests/it/registry/scale.rs`).
//!
//! Never asserts: figures are for people.

#[path = "../tests/it/registry/fake.rs"]
#[expect(dead_code, reason = "this registry is never hostile, and nobody looks at what it was asked")]
mod fake;
#[path = "../tests/it/registry/many.rs"]
mod many;

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use rolldeck::app::resolving::Resolving;
use rolldeck::domain::text::Text;
use rolldeck::registry::{Credentials, Protocol, Registries, RegistrySetting};

fn nobody() -> Credentials {
    Arc::new(|_| Box::pin(std::future::ready(Ok(None))))
}

fn resolve(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let registry = runtime.block_on(many::registry());
    let host = registry.host();
    let now = Timestamp::from_second(1_795_230_600).expect("a time");
    let mut group = criterion.benchmark_group("registry");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    group.bench_function(format!("{} images", many::IMAGES), |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let setting =
                    RegistrySetting { host: Text::new(&host), protocol: Protocol::Https, token_hosts: Vec::new() };
                let registries = Registries::new(vec![setting], nobody()).expect("certificates");
                let (mut fleet, mut resolving) = (many::fleet(&host), Resolving::default());
                many::settle(&mut fleet, &mut resolving, &registries, now).await;
                fleet.catalog().counts()
            })
        });
    });
    group.finish();
}

criterion_group!(benches, resolve);
criterion_main!(benches);
