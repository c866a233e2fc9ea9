//! The versions of its launch template that a group could go back to, and what AWS's own records say against them.
//!
//! Never judges: a version that was rolled back from is reported with that.

use aws_sdk_autoscaling::types::{Instance, InstanceRefresh, InstanceRefreshStatus as Status};

use super::super::launch::{Source, desired_source, hash};
use super::super::time;
use super::{Asked, Known, revision_uid, uid};
use crate::domain::id::Uid;
use crate::domain::observation::RevisionSeen;
use crate::domain::text::Text;

impl Known<'_> {
    /// Every version that it could go back to, and every one that its instances were launched from.
    pub(in crate::providers::aws) fn revisions(&self) -> Vec<RevisionSeen> {
        let asked = self.asked();
        let Source::Template { id, overrides, .. } = &asked.source else {
            return self.revision_of_configuration(&asked).into_iter().collect();
        };
        let mut numbers: Vec<i64> =
            self.templates.template(id).map(|known| known.versions.keys().copied().collect()).unwrap_or_default();
        let of_members = self.members().filter_map(|member| member.launch_template());
        let of_members = of_members.filter(|spec| spec.launch_template_id() == Some(id));
        for number in of_members.filter_map(|spec| spec.version()?.parse().ok()) {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        let revision = |number: i64| {
            let version = self.version(id, number);
            RevisionSeen {
                uid: revision_uid(self.group, id, number),
                workload: uid(self.group),
                number: number.unsigned_abs(),
                past_numbers: Vec::new(),
                template: self.template_of(hash(id, number, overrides), version, None),
                created_at: version.and_then(|version| version.created_at),
                cause: version.and_then(|version| version.description.clone()),
                left: self.why_left(id, number),
                deprecated_at: self.templates.deprecated_at(version.and_then(|version| version.image.as_deref())),
                label: None,
            }
        };
        numbers.into_iter().map(revision).collect()
    }

    fn revision_of_configuration(&self, asked: &Asked) -> Option<RevisionSeen> {
        let Source::Configuration(name) = &asked.source else { return None };
        Some(RevisionSeen {
            uid: Uid::new(&format!("{}#{name}", uid(self.group))),
            workload: uid(self.group),
            number: 1,
            past_numbers: Vec::new(),
            template: self.template(asked),
            created_at: None,
            cause: None,
            left: None,
            deprecated_at: self.templates.deprecated_at(self.configured_image),
            label: None,
        })
    }

    /// Why AWS's own records speak against a version: the newest refresh to it did not end well.
    fn why_left(&self, id: &str, number: i64) -> Option<Text> {
        let to_it = |refresh: &&InstanceRefresh| {
            let desired = refresh.desired_configuration().and_then(|desired| desired_source(desired, self.templates));
            // What `$Latest` stood for then nobody knows now.
            let is_numbered = |named: &str| named.parse::<i64>().is_ok();
            matches!(desired, Some(Source::Template { id: of, named, number: Some(to), .. })
                if of == id && to == number && is_numbered(&named))
        };
        let newest = self.records().iter().find(to_it).and_then(|newest| newest.status());
        // One that failed may have failed for want of capacity: that speaks against nothing.
        match newest {
            Some(Status::RollbackSuccessful | Status::RollbackInProgress | Status::RollbackFailed) => {
                Some(Text::new("its instance refresh was rolled back"))
            }
            None if self.has_never_run(id, number) => Some(Text::new("no instance refresh has gone to it")),
            _ => None,
        }
    }

    /// Whether a version was made while this group went elsewhere by refreshes, none of them to it, and nothing runs it.
    fn has_never_run(&self, id: &str, number: i64) -> bool {
        let successful = self.records().iter().filter(|refresh| refresh.status() == Some(&Status::Successful));
        let first = successful.filter_map(|refresh| refresh.start_time().and_then(time)).min();
        let made = self.version(id, number).and_then(|version| version.created_at);
        let wanted = number.to_string();
        let is_member = |member: &Instance| member.launch_template().and_then(|spec| spec.version()) == Some(&*wanted);
        first.zip(made).is_some_and(|(first, made)| made > first) && !self.members().any(is_member)
    }
}
