//! Rows of words as an aligned table or as Markdown.
//!
//! Never cuts: a terminal wraps, a pipe gets it all.

use unicode_width::UnicodeWidthStr;

/// A table of words.
#[derive(Debug, Default)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<&'static str>,
    /// The rows, each as long as the columns.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[&'static str]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Columns aligned by spaces, a header first.
    pub fn to_text(&self) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let header: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - cell.width() + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// A Markdown table.
    pub fn to_markdown(&self) -> String {
        // What others have named shall format nothing, and load nothing.
        let escaped = |cell: &str| {
            let mut text = String::with_capacity(cell.len());
            for character in cell.chars() {
                if matches!(character, '\\' | '|' | '`' | '*' | '[' | ']' | '<' | '>') {
                    text.push('\\');
                }
                text.push(character);
            }
            text
        };
        let mut text = format!("| {} |\n|{}\n", self.columns.join(" | "), " --- |".repeat(self.columns.len()));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_keep_the_columns_straight() {
        let mut table = Table::new(&["A", "B"]);
        table.rows.push(vec!["日本".to_string(), "x".to_string()]);
        table.rows.push(vec!["ab|c".to_string(), "y".to_string()]);
        assert_eq!(table.to_text(), "A     B\n日本  x\nab|c  y\n");
        assert_eq!(table.to_markdown(), "| A | B |\n| --- | --- |\n| 日本 | x |\n| ab\\|c | y |\n");
    }
}
