//! What an operator sees: text snapshots of each screen and overlay at 80x24 and 200x50, and pictures of some of them.
//!
//! `UPDATE=1` rewrites `tests/snapshots` and `screenshots`. Never reads the real clock.

mod deprecated;
mod fleets;
mod journeys;
mod plans;
mod signed;
mod svg;
mod timeline;
mod truth;
mod words;
mod world;

use std::path::{Path, PathBuf};

use ratatui::buffer::Buffer;
use world::World;

/// Compares the frames of a scene with what they were; every size must at least be drawn.
fn check(name: &str, world: &mut World) {
    for (width, height) in [(60, 16), (80, 24), (120, 30), (200, 50), (250, 60), (59, 16), (20, 4)] {
        let buffer = world.frame(width, height);
        if matches!((width, height), (80, 24) | (200, 50)) {
            compare(&root().join(format!("tests/snapshots/{name}-{width}x{height}.txt")), &text(&buffer));
        }
    }
}

/// A picture for the README, drawn with the default theme.
fn picture(name: &str, world: &mut World, width: u16, height: u16) {
    let buffer = world.frame(width, height);
    compare(&root().join(format!("screenshots/{name}.svg")), &svg::draw(&buffer));
}

fn compare(path: &Path, now: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(path, now).expect("the snapshot can be written");
        return;
    }
    let before = std::fs::read_to_string(path).unwrap_or_default();
    assert!(before == now, "{} changed; UPDATE=1 rewrites it. It was:\n{before}\nIt is:\n{now}", path.display());
}

fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut lines = String::new();
    for y in 0..area.height {
        let (mut line, mut skip) = (String::new(), 0);
        for x in 0..area.width {
            let symbol = buffer[(x, y)].symbol();
            if skip > 0 {
                skip -= 1;
                continue;
            }
            line.push_str(symbol);
            skip = rolldeck::app::cells::width(symbol).saturating_sub(1);
        }
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_start_screen_shows_what_is_off_worst_first_and_what_changed_lately() {
    let mut world = fleets::incident();
    check("drift", &mut world);
    picture("drift", &mut world, 100, 24);
    world.press("w");
    check("drift-wide", &mut world);
}

#[test]
fn the_start_screen_before_anything_was_heard_and_when_nothing_is_off() {
    check("drift-start", &mut World::new(&["k8s/prod-eu", "k8s/prod-us"]));
    check("drift-no-place", &mut World::new(&[]));
    check("drift-quiet", &mut fleets::quiet());
}

#[test]
fn a_plan_shows_waves_steps_checks_and_its_code() {
    let mut world = fleets::incident();
    world.press("b");
    check("plan", &mut world);
    picture("plan", &mut world, 100, 26);
    world.press("alt-e");
    check("plan-equivalents", &mut world);
    world.press("esc");
    world.find("ledger");
    world.press("r");
    check("plan-refused", &mut world);
}

#[test]
fn a_running_operation_is_named_on_every_screen() {
    let mut world = fleets::operation_half_way();
    check("banner", &mut world);
    picture("banner", &mut world, 100, 24);
    world.press("5");
    check("operations", &mut world);
    picture("operations", &mut world, 100, 24);
    world.press("d");
    check("operation-detail", &mut world);
    world.press("esc");
    world.press("q");
    check("quit", &mut world);
}

#[test]
fn the_other_screens() {
    let mut world = fleets::incident();
    for (key, name) in [
        ("2", "fleet"),
        ("3", "compare"),
        ("4", "instances"),
        ("6", "timeline"),
        ("7", "places"),
        ("5", "operations-none"),
    ] {
        world.press(key);
        world.settle();
        check(name, &mut world);
        if !matches!(name, "operations-none" | "timeline") {
            picture(name, &mut world, 100, 24);
        }
    }
}

#[test]
fn what_lies_over_a_screen() {
    let mut world = fleets::incident();
    for (keys, name) in [("?", "help"), (":", "palette"), ("B", "versions"), ("d", "detail")] {
        world.press(keys);
        check(name, &mut world);
        if name == "help" {
            picture(name, &mut world, 100, 40);
        }
        world.press("esc");
    }
    world.press("y");
    check("pending", &mut world);
    world.press("q");
    check("unbound", &mut world);
    world.press("o");
    check("later", &mut world);
}

#[test]
fn a_filter_that_can_not_be_read_says_so_and_the_last_one_stays() {
    let mut world = fleets::incident();
    world.press("/");
    world.type_text("svc:checkout state:drfit");
    check("filter-wrong", &mut world);
}

#[test]
fn without_colours_nothing_but_bold_dim_underline_and_reverse_is_used() {
    use ratatui::style::Color;
    let mut world = fleets::operation_half_way();
    let mono = rolldeck::app::theme::Theme::default().on(rolldeck::app::theme::Palette::Mono);
    world.model.settings.look.theme = mono;
    for keys in ["1", "2", "4", "5", "6", "7", "?", "esc"] {
        world.press(keys);
        world.settle();
        let buffer = world.frame(80, 24);
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset), "{keys}");
    }
}

#[test]
fn every_frame_is_ascii_where_the_data_is() {
    let mut world = fleets::operation_half_way();
    for keys in
        ["1", "2", "4", "5", "6", "d", "esc", "7", "?", "esc", ":", "esc", "1", "d", "esc", "B", "esc", "r", "esc"]
    {
        world.press(keys);
        world.settle();
        let shown = text(&world.frame(200, 50));
        assert!(shown.is_ascii(), "{keys}: {shown}");
    }
}

/// Compares what stands between two markers of the README with what the program says.
fn compare_part(name: &str, wanted: &str) {
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap_or_default();
    let (before, after) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let Some((start, end)) = readme.find(&before).zip(readme.find(&after)) else {
        panic!(
            "README.md needs the markers <!-- {name} --> and <!-- /{name} --> (UPDATE=1 fills what is between them)"
        );
    };
    let start = start + before.len();
    compare(&path, &format!("{}\n{wanted}\n{}", readme[..start].trim_end(), &readme[end..]));
}

#[test]
fn the_tables_of_the_readme_are_those_of_the_program() {
    compare_part("keys", &rolldeck::app::key_table(&rolldeck::app::keymap::Keymap::default()));
    compare_part("kinds", &rolldeck::domain::plan::kinds_as_markdown());
}
