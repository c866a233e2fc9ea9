//! The requests about keepers: suspend one, hold a minimum, give it back. The object is read once more, and the request
//! carries the uid and resource version of that read.
//!
//! Never sends again: who is asked to do so is `operate`, after a conflict, which proves that nothing was done.

use serde_json::{Value, json};

use super::client::{Fault, Meant, Patch, Reads, Writes, malformed};
use super::convert::{self, Keeper};
use super::lookup::READ_TIMEOUT;
use super::requests::{self, Mark};
use crate::domain::id::Uid;
use crate::domain::journal::Receipt;
use crate::domain::keeper::{Borrowed, KeeperId, KeeperKind, KeeperSeen, Setting};
use crate::domain::text::Text;

/// Where a kind is found.
pub(super) struct Resource {
    /// `argoproj.io`.
    pub group: &'static str,
    /// `v1alpha1`.
    pub version: &'static str,
    /// `applications`.
    pub name: &'static str,
}

/// One request about a keeper.
pub(super) struct Change<'a> {
    /// Which.
    pub keeper: &'a KeeperId,
    /// Its incarnation.
    pub uid: &'a Uid,
    /// What it must do now.
    pub from: Setting,
    /// What it shall do.
    pub to: Setting,
}

/// How a keeper was found before a request.
pub(super) enum Found {
    /// As the request needs it: its resource version.
    Ready(String),
    /// It does what is wanted already.
    IsSo(Receipt),
    /// A fact moved.
    Moved(Text),
}

/// The resource of a kind.
pub(super) fn resource(kind: KeeperKind) -> Resource {
    let (group, version, name) = match kind {
        KeeperKind::Application => ("argoproj.io", "v1alpha1", "applications"),
        KeeperKind::Kustomization => ("kustomize.toolkit.fluxcd.io", "v1", "kustomizations"),
        KeeperKind::HelmRelease => ("helm.toolkit.fluxcd.io", "v2", "helmreleases"),
        KeeperKind::Autoscaler => ("autoscaling", "v2", "horizontalpodautoscalers"),
    };
    Resource { group, version, name }
}

/// The change that a loan asks for; `None` where it is not about a keeper.
pub(super) fn change(what: &Borrowed) -> Option<Change<'_>> {
    match what {
        Borrowed::Keeper { keeper, uid, from, to } => Some(Change { keeper, uid, from: *from, to: *to }),
        Borrowed::Pace { .. } => None,
    }
}

/// Reads the keeper and compares it.
pub(super) async fn look(reads: &Reads, change: &Change<'_>) -> Result<Found, Fault> {
    let Change { keeper, uid, from, to } = change;
    let (now, version) = read(keeper.kind, &reads.get(&path(keeper), READ_TIMEOUT).await?)?;
    Ok(if now.uid != **uid {
        Found::Moved(Text::new(&format!("{keeper} was deleted and made again")))
    } else if now.setting == *to {
        // As it was seen, however long ago.
        let notes = vec![Text::new("it was so already; nothing was sent")];
        Found::IsSo(Receipt { generation: 0, template: None, notes })
    } else if now.setting != *from {
        Found::Moved(Text::new(&format!("{keeper} is to {} now", now.setting)))
    } else {
        Found::Ready(version)
    })
}

/// Sends the one request to a keeper of this resource version. `Ok(Err(_))`: why it is not so all the same.
pub(super) async fn send(
    writes: &Writes,
    change: &Change<'_>,
    version: &str,
    mark: &Mark<'_>,
    meant: Meant,
) -> Result<Result<Receipt, Text>, Fault> {
    let Change { keeper, uid, to, .. } = change;
    let body = json!({
        "metadata": {"uid": uid.0, "resourceVersion": version,
            "annotations": {"rolldeck.dev/operation": mark.operation_note()}},
        "spec": convert::spec_for(keeper.kind, *to),
    });
    let answered = writes.patch(Patch::Merge, &path(keeper), &body, meant).await?;
    let (after, _) = read(keeper.kind, &answered.body)?;
    Ok(match after.setting == *to {
        true => Ok(receipt(&after, answered.warnings)),
        false => Err(Text::new(&format!(
            "the server took it and {keeper} is to {} all the same: its version may not know this setting",
            after.setting
        ))),
    })
}

/// The command that would do the same.
pub(super) fn kubectl(context: &str, change: &Change<'_>) -> Text {
    let Resource { group, name, .. } = resource(change.keeper.kind);
    let body: Value = json!({"spec": convert::spec_for(change.keeper.kind, change.to)});
    let target = format!("{name}.{group}/{}", change.keeper.name);
    requests::kubectl_in(
        context,
        &change.keeper.namespace,
        &["patch", &target, "--type=merge", "-p", &body.to_string()],
    )
}

fn path(keeper: &KeeperId) -> String {
    let Resource { group, version, name } = resource(keeper.kind);
    let (namespace, own) = (requests::escaped(&keeper.namespace), requests::escaped(&keeper.name));
    format!("/apis/{group}/{version}/namespaces/{namespace}/{name}/{own}")
}

fn read(kind: KeeperKind, bytes: &[u8]) -> Result<(KeeperSeen, String), Fault> {
    let raw: Keeper<'_> = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    Ok((convert::keeper(kind, &raw), raw.metadata.resource_version.as_str().to_string()))
}

fn receipt(seen: &KeeperSeen, notes: Vec<Text>) -> Receipt {
    Receipt { generation: seen.generation, template: None, notes }
}
