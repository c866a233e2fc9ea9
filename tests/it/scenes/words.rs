//! What a test reads from a frame: the code of a plan, the row under the cursor.
//!
//! Never looks into the model: an operator can't either.

use super::world::World;

impl World {
    /// The code that the plan on the screen shows.
    pub(crate) fn code(&mut self) -> Option<String> {
        let screen = self.screen();
        let after = screen.split("to start:  ").nth(1).or_else(|| screen.split("as they are now:  ").nth(1));
        let after = after.or_else(|| screen.split("starts it:  ").nth(1))?;
        after.split_whitespace().next().map(str::to_string)
    }

    /// Reads the code and types it.
    pub(crate) fn type_code(&mut self) {
        let code = self.code().expect("the plan shows a code");
        for letter in code.chars() {
            self.press(&letter.to_string());
        }
    }

    /// The row under the cursor.
    pub(crate) fn cursor(&mut self) -> String {
        self.screen().lines().find(|line| line.starts_with('>')).unwrap_or_default().to_string()
    }

    /// The last line of the frame.
    pub(crate) fn footer(&mut self) -> String {
        self.screen().lines().last().unwrap_or_default().trim().to_string()
    }
}
