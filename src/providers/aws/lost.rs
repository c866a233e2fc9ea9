//! What goes with a machine or a task when it is replaced: instance stores, volumes that are deleted with it.
//!
//! Never looks into a volume, and says nothing of the root volume: that is the image's.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::Instance;
use aws_sdk_ecs::types::{Scope, Volume};

use super::connect::{Clients, ask};
use super::fault::Fault;
use super::lookup::PresentGroup;

/// How many machines of a group stand for all of them.
const SAMPLE: usize = 20;

/// What is lost with machines of a group, in words; empty: nothing.
///
/// # Errors
/// EC2 could not be asked.
pub(super) async fn of_group(
    clients: &Clients,
    present: &PresentGroup,
    only: Option<&str>,
) -> Result<Vec<String>, Fault> {
    let members = present.group.instances().iter().filter_map(|member| member.instance_id());
    let ids: Vec<String> =
        members.filter(|id| only.is_none_or(|only| only == *id)).take(SAMPLE).map(String::from).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let request = clients.ec2.describe_instances().set_instance_ids(Some(ids));
    let answer = ask("ec2:DescribeInstances", request.send()).await?;
    let machines: Vec<&Instance> = answer.reservations().iter().flat_map(|one| one.instances()).collect();
    let mut lost = volumes(&machines);
    let types: BTreeSet<_> = machines.iter().filter_map(|machine| machine.instance_type().cloned()).collect();
    if !types.is_empty() {
        let request = clients.ec2.describe_instance_types().set_instance_types(Some(types.into_iter().collect()));
        let answer = ask("ec2:DescribeInstanceTypes", request.send()).await?;
        let stores = answer.instance_types().iter().filter(|known| known.instance_storage_supported() == Some(true));
        lost.extend(stores.map(|known| {
            let name = known.instance_type().map_or("?", |name| name.as_str());
            let size = known.instance_storage_info().and_then(|info| info.total_size_in_gb()).unwrap_or(0);
            format!("the instance store of {name} ({size} GB)")
        }));
    }
    Ok(lost)
}

/// Volumes beside the root that EC2 deletes with their machine, by device.
fn volumes(machines: &[&Instance]) -> Vec<String> {
    let mut devices: BTreeSet<&str> = BTreeSet::new();
    for machine in machines {
        let root = machine.root_device_name();
        for mapping in machine.block_device_mappings() {
            let is_deleted = mapping.ebs().and_then(|volume| volume.delete_on_termination()) == Some(true);
            devices.extend(mapping.device_name().filter(|device| is_deleted && Some(*device) != root));
        }
    }
    devices.into_iter().map(|device| format!("the volume at {device}, deleted on termination")).collect()
}

/// What is lost with tasks of a definition: volumes that live no longer than a task. Those of EFS and FSx, and folders of the
/// host by path, outlive it (ECS Developer Guide, "Storage options for Amazon ECS tasks").
pub(super) fn of_tasks(volumes: &[Volume]) -> Vec<String> {
    let is_lost = |volume: &&Volume| {
        let is_kept = volume.efs_volume_configuration().is_some()
            || volume.fsx_windows_file_server_volume_configuration().is_some()
            || volume.host().is_some_and(|host| host.source_path().is_some())
            || volume.docker_volume_configuration().is_some_and(|docker| docker.scope() == Some(&Scope::Shared));
        !is_kept
    };
    volumes.iter().filter(is_lost).map(|volume| format!("volume {}", volume.name().unwrap_or("?"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{EbsInstanceBlockDevice, InstanceBlockDeviceMapping};
    use aws_sdk_ecs::types::{DockerVolumeConfiguration, EfsVolumeConfiguration, HostVolumeProperties};

    #[test]
    fn data_volumes_that_go_with_their_machine_are_named_and_its_root_is_not() {
        let mapping = |device: &str, is_deleted: bool| {
            let volume = EbsInstanceBlockDevice::builder().delete_on_termination(is_deleted).build();
            InstanceBlockDeviceMapping::builder().device_name(device).ebs(volume).build()
        };
        let machine = Instance::builder()
            .root_device_name("/dev/xvda")
            .block_device_mappings(mapping("/dev/xvda", true))
            .block_device_mappings(mapping("/dev/sdb", true))
            .block_device_mappings(mapping("/dev/sdc", false))
            .build();
        assert_eq!(volumes(&[&machine, &machine]), ["the volume at /dev/sdb, deleted on termination"]);
    }

    #[test]
    fn volumes_of_tasks_that_live_no_longer_than_a_task_are_named() {
        let named = |name: &str| Volume::builder().name(name);
        let efs = EfsVolumeConfiguration::builder().file_system_id("fs-1").build().expect("whole");
        let shared = DockerVolumeConfiguration::builder().scope(Scope::Shared).build();
        let path = HostVolumeProperties::builder().source_path("/srv").build();
        let volumes = [
            named("scratch").build(),
            named("own").host(HostVolumeProperties::builder().build()).build(),
            named("efs").efs_volume_configuration(efs).build(),
            named("shared").docker_volume_configuration(shared).build(),
            named("srv").host(path).build(),
        ];
        assert_eq!(of_tasks(&volumes), ["volume scratch", "volume own"]);
    }
}
