//! Kubernetes.
use super::*;
/// The kind.
pub const KIND: Kind = Kind {
    name: "kubernetes",
    discover: |_| Vec::new(),
    default_id: |_, _| String::new(),
    check: |_| Vec::new(),
    connect: |_, _, _| Err(ConnectError { what: String::new(), hint: String::new() }),
};
