//! A frame as an SVG picture: the README's screenshots.
//!
//! Never depends on fonts being there: any monospace font will do, text is placed by cells.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

const CELL: (f32, f32) = (8.4, 17.0);
const INK: &str = "#d8dee9";
const PAPER: &str = "#1c1f26";

/// The picture of a frame.
pub(crate) fn draw(buffer: &Buffer) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let (width, height) = (f32::from(columns) * CELL.0 + 16.0, f32::from(rows) * CELL.1 + 16.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\" xml:space=\"preserve\">\n"
    );
    for y in 0..rows {
        let mut x = 0;
        while x < columns {
            let first = &buffer[(x, y)];
            let mut end = x + 1;
            while end < columns && is_alike(first, &buffer[(end, y)]) {
                end += 1;
            }
            let text: String = (x..end).map(|at| buffer[(at, y)].symbol()).collect();
            svg.push_str(&run(first, &text, x, y, end - x));
            x = end;
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

fn is_alike(a: &Cell, b: &Cell) -> bool {
    a.fg == b.fg && a.bg == b.bg && a.modifier == b.modifier
}

fn run(cell: &Cell, text: &str, x: u16, y: u16, cells: u16) -> String {
    let is_reversed = cell.modifier.contains(Modifier::REVERSED);
    let (ink, paper) = (color(cell.fg, INK), color(cell.bg, PAPER));
    let (ink, paper) = if is_reversed { (paper, ink) } else { (ink, paper) };
    let (left, top) = (8.0 + f32::from(x) * CELL.0, 8.0 + f32::from(y) * CELL.1);
    let width = f32::from(cells) * CELL.0;
    let mut svg = String::new();
    if paper != PAPER {
        svg.push_str(&format!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{paper}\"/>",
            CELL.1
        ));
    }
    if !text.trim().is_empty() {
        let bold = if cell.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
        let line = if cell.modifier.contains(Modifier::UNDERLINED) { " text-decoration=\"underline\"" } else { "" };
        let dim = if cell.modifier.contains(Modifier::DIM) { " opacity=\"0.65\"" } else { "" };
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        svg.push_str(&format!(
            "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{ink}\"{bold}{line}{dim}>{escaped}</text>\n",
            top + 13.0
        ));
    } else if !svg.is_empty() {
        svg.push('\n');
    }
    svg
}

fn color(color: Color, otherwise: &'static str) -> &'static str {
    match color {
        Color::Black => "#1c1f26",
        Color::Red => "#e06c75",
        Color::Green => "#98c379",
        Color::Yellow => "#e5c07b",
        Color::Blue => "#61afef",
        Color::Magenta => "#c678dd",
        Color::Cyan => "#56b6c2",
        Color::Gray => "#abb2bf",
        Color::DarkGray => "#7f8795",
        Color::LightRed => "#ff7b86",
        Color::LightGreen => "#b5e890",
        Color::LightYellow => "#ffd68a",
        Color::LightBlue => "#7cc4ff",
        Color::LightMagenta => "#dd94f2",
        Color::LightCyan => "#74d7e3",
        Color::White => "#ffffff",
        _ => otherwise,
    }
}
