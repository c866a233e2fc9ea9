//! Rolldeck: which image every running instance really runs, and the way back.
//!
//! ```text
//!         PURE                             |   IMPURE
//!         domain  <------------------------+---- providers
//!           ^                              |         ^
//!          app    <------------------------+---- runtime <- main
//!    (an arrow points at what is used; domain uses nothing; nothing uses runtime but main)
//! ```
//!
//! The words. A *place* is one thing to connect to; a *provider* speaks to one kind of place. A *workload* owns *instances*
//! and can roll them; a *service* is one application over several workloads and places. Three facts are kept apart for
//! every instance: *expected* (and who says so), *requested* (the template), *running* (observed). Compared they give a
//! *verdict*. A *plan* says what an *operation* will do: *waves* of *steps*, each with its *brake*; what it holds back or
//! suspends it owes as a *debt*. The *journal* has each entry before the call.
//!
//! Ten minutes to find one's way: `app::event` and `app::effect` (everything that can happen, everything that can be
//! asked), `app::update`, `domain::operation::decide` (what an operation does next), then one screen in `app::screens`.
//! A key becomes a request like this:
//!
//! ```text
//! key -> keymap -> COMMANDS row -> available? no: the footer says why
//!  -> Plan (pure) -> plan overlay -> code -> Effect::Append(Started) -> the store writes and syncs -> Appended
//!  -> decide() -> Append(Sent) -> Appended -> Effect::Execute -> provider -> Executed -> Append(Accepted)
//!  -> the provider's watch shows the new instances -> decide() -> Append(Verified) -> next step, next wave
//! ```

pub mod app;
pub mod domain;
pub mod providers;
pub mod registry;
pub mod runtime;
