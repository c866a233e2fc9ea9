//! AWS as the built program shows and changes it, on moto.

mod act;
mod crash;
mod faults;
mod policies;
mod see;
mod together;
