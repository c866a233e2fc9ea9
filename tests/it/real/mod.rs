//! Tests on real servers. Where those are not there each test says that it leaves itself out; CI leaves none out.

pub(crate) mod cluster;
mod control_plane;
pub(crate) mod gitops;
pub(crate) mod moto;
mod moto_server;
pub(crate) mod registry;
pub(crate) mod rollouts;
