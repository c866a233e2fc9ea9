//! Worlds of a size.

use super::records::{Launches, TemplateAt};
use super::world::World;

pub(super) fn fleet(world: &mut World, groups: usize, instances: usize) {
    let (old, new) = ("ami-0000000000000001a", "ami-0000000000000002b");
    world.image(old, "shop-2026.10.1");
    world.image(new, "shop-2026.11.1");
    for number in 0..groups {
        let template = format!("lt-{:017x}", number / 2 + 1);
        world.template(&template, &format!("template-{:03}", number / 2), &[old, new]);
        let launches = Launches::Template(TemplateAt::new(&template, "2"));
        let group = world.group(&format!("group-{number:03}"), launches, share(instances, groups, number));
        group.tags.insert("rolldeck".into(), "managed".into());
    }
}

pub(super) fn tasks(world: &mut World, services: usize, tasks: usize) {
    world.cluster("shop");
    for number in 0..services {
        let family = format!("service-{number:03}");
        let image = |version: &str| format!("registry.example/{family}:{version}");
        world.definition(&family, &[("app", &image("1.0"))]);
        let definition = world.definition(&family, &[("app", &image("1.1"))]);
        world.service("shop", &family, &definition, share(tasks, services, number));
    }
}

/// Equal shares; the first ones take what is left over.
fn share(total: usize, parts: usize, number: usize) -> usize {
    total / parts + usize::from(number < total % parts)
}
