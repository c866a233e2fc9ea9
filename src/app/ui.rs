//! What the operator sees and has typed: the screen, its rows, cursor and marks, the overlays, the footer.

/// The state of the screens.
#[derive(Debug, Default)]
pub struct Ui {}
