//! Small text files that a person wrote: configuration, theme, keymap.
//!
//! Never reads without a bound: a path may name a device that has no end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longest file that is taken.
const LONGEST: u64 = 1 << 20;

/// The whole text of a file.
///
/// # Errors
/// As the system says, or that it is no text, or longer than 1 MiB.
pub fn read(path: &Path) -> io::Result<String> {
    read_up_to(path, LONGEST)
}

/// The same with another bound, in bytes.
///
/// # Errors
/// As the system says, or that it is no text, or longer than that.
pub fn read_up_to(path: &Path, longest: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(longest + 1).read_to_string(&mut text)?;
    if text.len() as u64 > longest {
        return Err(io::Error::other(format!("it is longer than {} MiB", longest >> 20)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = read(Path::new("/dev/zero")).expect_err("refused");
        assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
    }
}
