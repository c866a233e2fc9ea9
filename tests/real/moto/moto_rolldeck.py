#!/usr/bin/env python3
"""moto's AWS server plus what Rolldeck needs and moto 5.2.5 lacks or gets wrong.

    python -m pip install -r requirements.txt
    python moto_rolldeck.py -H 127.0.0.1 -p 5701            # a step every 0.5 s
    python moto_rolldeck.py -H 127.0.0.1 -p 5701 --tick 0   # time stands still until POST /rolldeck/step?n=1
    python moto_rolldeck.py -p 0 --tick 0 --owner $$        # a free port, told on standard output; ends with its parent

Added: instance refreshes that progress (start, describe, roll back, cancel; checkpoints, bake time, skip matching, scale-in
protection, root volume replacement), DescribeInstanceImageMetadata, ResolveAlias, SourceVersion, scaling activities, and ECS
services that run tasks with image digests, deployments, revisions and StopServiceDeployment. Corrected: the launch template
version of an instance, batches and unknown ids in TerminateInstanceInAutoScalingGroup, tags and architecture of RegisterImage,
ListTasks, the silent cut of DescribeLaunchTemplateVersions at 15.

One step stands for one second of AWS time and one batch of replacements. Requests and steps run one at a time.
Not modelled: warm-up, a dip in capacity, launching before terminating, health checks, quotas, IAM. Behaviour that is
assumed, because no source says it, is marked "assumed" below. moto is Apache-2.0; this file imports it and copies nothing.
A subnet holds about 4,000 instances: spread a large fleet over the default subnets.

Faults and controls:
    group tag  moto-rolldeck:fail-after = N      a refresh fails after N replacements (and rolls back if AutoRollback)
    POST /rolldeck/step?n=3                      three steps at once
    POST /rolldeck/tag?image=REF&digest=sha256:  moves a tag: what REF resolves to at the next deployment or task
    ...&region=eu-west-1                         either of them in this region alone, so that others need not notice
    POST /moto-api/reset                         forgets everything (moto's own)
"""

import argparse
import contextlib
import copy
import hashlib
import json
import os
import sys
import threading
import time
import traceback
import uuid
from urllib.parse import parse_qs

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # 1,301 built-in images make the first calls slow

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState, autoscaling_backends
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.models.launch_templates import LaunchTemplateVersion
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ecs.exceptions import ECSException
from moto.ecs.models import Container, EC2ContainerServiceBackend, Task, ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.moto_api import state_manager
from moto.ssm.models import ssm_backends

LOCK = threading.RLock()


def extends(moto_class, name=None):
    """Decorator: puts a function on a class of moto; the one it hides, if any, stays reachable as `function.moto`."""

    def put(function):
        method = name or function.__name__
        function.moto = getattr(moto_class, method, None)
        setattr(moto_class, method, function)
        return function

    return put


def page_of(items, size, token):
    """One page and the token of the next; a token is the position at which its page starts."""
    start = int(token or 0)
    end = start + int(size)
    return items[start:end], str(end) if end < len(items) else None


# ---------------------------------------------------------------------------------------------------------------- EC2


@extends(InstanceResponse)
def describe_instance_image_metadata(self):
    self.error_on_dryrun()
    backend, ids = self.ec2_backend, self._get_param("InstanceIds", [])
    known = backend.get_multi_instances_by_id(ids) if ids else None  # raises InvalidInstanceID.NotFound
    reservations = backend.describe_instances(self._filters_from_querystring())
    found = [i for r in reservations for i in r.instances if known is None or i in known]
    page, token = page_of(found, self._get_param("MaxResults", 1000), self._get_param("NextToken"))
    return ActionResult({"InstanceImageMetadata": [image_metadata(backend, i) for i in page], "NextToken": token})


def image_metadata(backend, instance):
    image = backend.amis.get(instance.image_id) or deregistered_images(backend).get(instance.image_id)
    metadata = {"ImageId": instance.image_id}
    if image:
        metadata |= {
            "Name": image.name, "OwnerId": image.owner_id, "IsPublic": image.is_public, "ImageAllowed": True,
            "CreationDate": image.creation_date.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "State": image.state if instance.image_id in backend.amis else "deregistered",
        }  # fmt: skip
    return {
        "InstanceId": instance.id, "InstanceType": instance.instance_type, "LaunchTime": instance.launch_time,
        "AvailabilityZone": instance.availability_zone, "OwnerId": instance.owner_id,
        "State": {"Code": instance.state_code, "Name": instance.state},
        "Tags": [{"Key": k, "Value": v} for k, v in backend.tags.get(instance.id, {}).items()], "ImageMetadata": metadata,
    }  # fmt: skip


def deregistered_images(backend):
    return backend.__dict__.setdefault("deregistered_images", {})


@extends(AmisResponse)
def deregister_image(self):
    """AWS goes on naming the image of an instance after the image is gone; moto forgets it."""
    image = self._get_param("ImageId")
    if image in self.ec2_backend.amis:
        deregistered_images(self.ec2_backend)[image] = self.ec2_backend.amis[image]
    return deregister_image.moto(self)


@extends(AmisResponse)
def register_image(self):
    result = register_image.moto(self)
    image = self.ec2_backend.amis[result.result["ImageId"]]
    image.architecture = image.architecture or self._get_param("Architecture")
    for spec in self._get_param("TagSpecifications", []):
        if spec["ResourceType"] == "image":
            tags = {tag["Key"]: tag["Value"] for tag in spec["Tags"]}
            self.ec2_backend.create_tags([result.result["ImageId"]], tags)
    return result


@extends(LaunchTemplates)
def create_launch_template_version(self):
    if source := self._get_param("SourceVersion"):
        named = self._get_param("LaunchTemplateName")
        backend = self.ec2_backend
        template = (
            backend.get_launch_template_by_name(named)
            if named
            else backend.get_launch_template(self._get_param("LaunchTemplateId"))
        )
        data = self._get_param("LaunchTemplateData", {})
        self.params["LaunchTemplateData"] = {**template.get_version(source).data, **data}
    return create_launch_template_version.moto(self)


@extends(LaunchTemplates)
def describe_launch_template_versions(self):
    size, token = self._get_param("MaxResults", 200), self._get_param("NextToken")
    self.params["MaxResults"] = 1_000_000  # moto cuts at 15 and gives no token
    every = describe_launch_template_versions.moto(self).result["LaunchTemplateVersions"]
    page, token = page_of(every, size, token)
    if self._get_param("ResolveAlias"):
        for version in page:
            data = version["LaunchTemplateData"]
            if data.get("ImageId"):
                version["LaunchTemplateData"] = {**data, "ImageId": resolve_alias(self.ec2_backend, data["ImageId"])}
    return ActionResult({"LaunchTemplateVersions": page, "NextToken": token})


def resolve_alias(ec2_backend, image):
    if not image.startswith("resolve:ssm:"):
        return image
    parameter = ssm_backends[ec2_backend.account_id][ec2_backend.region_name].get_parameter(image[len("resolve:ssm:") :])
    return parameter.value if parameter else image


LaunchTemplateVersion.image_id = property(
    lambda version: resolve_alias(version.template.ec2_backend, version.data.get("ImageId", ""))
)

# ------------------------------------------------------------------------------------------------------- Auto Scaling


def configuration_of(group):
    """What the group launches from, in the form of a DesiredConfiguration; None for a launch configuration."""
    if group.mixed_instances_policy:
        policy = copy.deepcopy(group.mixed_instances_policy)
        policy["LaunchTemplate"]["LaunchTemplateSpecification"].pop("LaunchTemplateName", None)
        return {"MixedInstancesPolicy": policy}
    if group.ec2_launch_template:
        version = group.provided_launch_template_version
        return {"LaunchTemplate": {"LaunchTemplateId": group.ec2_launch_template.id, "Version": version}}
    return None


def apply(group, configuration):
    configuration = copy.deepcopy(configuration or {})
    if not configuration:
        group.ec2_launch_template = None  # back to its launch configuration
        return
    group.mixed_instances_policy = configuration.get("MixedInstancesPolicy")
    try:
        group._set_launch_configuration("", configuration.get("LaunchTemplate", {}), group.mixed_instances_policy)
        group.ec2_launch_template.get_version(group.launch_template_version)  # raises when it does not exist
    except (ServiceException, ValueError) as error:
        raise ValidationError(str(error)) from error


@contextlib.contextmanager
def launching_from(group, configuration):
    """Inside, the group launches from `configuration` (None: its own). The group keeps its own for everybody else:
    AWS changes a group's settings when a refresh has succeeded, not before."""
    own = configuration_of(group)
    try:
        if configuration:
            apply(group, configuration)
        yield
    finally:
        apply(group, own)


def template_of(group):
    """The template and numbered version that the group launches from now."""
    if not group.ec2_launch_template:
        return None
    number = group.ec2_launch_template.get_version(group.launch_template_version).number
    return {
        "LaunchTemplateId": group.ec2_launch_template.id,
        "LaunchTemplateName": group.ec2_launch_template.name,
        "Version": str(number),
    }


def is_reversible(group):
    if not group.ec2_launch_template or group.launch_template_version in ("$Latest", "$Default"):
        return False
    version = group.ec2_launch_template.get_version(group.launch_template_version)
    return not version.data.get("ImageId", "").startswith("resolve:ssm:")


def activity(group, description, cause):
    now = utcnow()
    record = {
        "ActivityId": str(uuid.uuid4()), "AutoScalingGroupName": group.name, "Description": description, "Cause": cause,
        "StartTime": now, "EndTime": now, "StatusCode": "Successful", "Progress": 100,
    }  # fmt: skip
    group.__dict__.setdefault("activities", []).insert(0, record)


@extends(FakeAutoScalingGroup)
def replace_autoscaling_group_instances(self, count_needed, propagated_tags):
    before = {state.instance.id for state in self.instance_states}
    replace_autoscaling_group_instances.moto(self, count_needed, propagated_tags)
    template = template_of(self)
    for state in self.instance_states:
        if state.instance.id not in before:
            state.launched_from = template
            if template:
                state.instance.add_tags({"aws:ec2launchtemplate:version": template["Version"]})
            activity(self, f"Launching a new EC2 instance: {state.instance.id}", "Desired and actual capacity differed.")


# moto reports the template's default version for every instance; AWS reports the one it was launched from, and none for
# an instance that was attached by hand.
InstanceState.launch_template = property(lambda state: getattr(state, "launched_from", None))


@extends(AutoScalingBackend)
def terminate_instance(self, instance_id, should_decrement):
    try:
        record = terminate_instance.moto(self, instance_id, should_decrement)
    except StopIteration:
        message = f"Instance Id not found - No managed instance found for instance ID {instance_id}"
        raise ValidationError(message) from None
    activity(record.auto_scaling_group, record.description, record.cause)
    return record


@extends(AutoScalingResponse)
def terminate_instance_in_auto_scaling_group(self):
    ids, name = self._get_param("InstanceIds"), self._get_param("AutoScalingGroupName")
    decrement = self._get_bool_param("ShouldDecrementDesiredCapacity", False)
    if not ids:
        record = self.autoscaling_backend.terminate_instance(self._get_param("InstanceId") or "", decrement)
        return ActionResult({"Activity": record})
    if len(ids) > 100:
        raise ValidationError("You can specify up to 100 instances.")
    members = {state.instance.id for state in group_named(self, name).instance_states}
    for missing in set(ids) - members:  # assumed: one bad id refuses the whole batch
        raise ValidationError(f"Instance Id not found - No managed instance found for instance ID {missing}")
    return ActionResult({"Activities": [self.autoscaling_backend.terminate_instance(i, decrement) for i in ids]})


@extends(AutoScalingResponse)
def describe_scaling_activities(self):
    groups = self.autoscaling_backend.autoscaling_groups.values()
    wanted = self._get_param("AutoScalingGroupName")
    records = [r for g in groups if wanted in (None, g.name) for r in g.__dict__.get("activities", [])]
    page, token = page_of(records, self._get_param("MaxRecords", 100), self._get_param("NextToken"))
    return ActionResult({"Activities": page, "NextToken": token})


class Refresh:
    """One instance refresh: the record that DescribeInstanceRefreshes gives, and what it still has to do."""

    ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")

    def __init__(self, group, desired, preferences, strategy):
        self.group, self.desired, self.preferences = group, desired, preferences
        self.strategy = strategy
        self.before = [state.instance.id for state in group.instance_states]
        self.todo = self.instances_to_replace()
        self.total, self.wait, self.reached = len(self.todo), 0, 0
        self.record = {
            "InstanceRefreshId": str(uuid.uuid4()), "AutoScalingGroupName": group.name, "Status": "Pending",
            "StartTime": utcnow(), "PercentageComplete": 0, "InstancesToUpdate": self.total, "Strategy": strategy,
            "Preferences": preferences, "DesiredConfiguration": desired,
        }  # fmt: skip

    @property
    def is_active(self):
        return self.record["Status"] in self.ACTIVE

    def instances_to_replace(self):
        with launching_from(self.group, self.desired):
            target = template_of(self.group)
        states = self.group.instance_states
        if self.preferences.get("SkipMatching"):  # by template and version, not by image
            states = [state for state in states if state.launch_template != target]
        if self.preferences.get("ScaleInProtectedInstances") == "Ignore":
            states = [state for state in states if not state.protected_from_scale_in]
        return [state.instance.id for state in states]

    def step(self):
        if self.wait:
            self.wait -= 1
        elif self.record["Status"] == "Pending":
            self.record["Status"] = "InProgress"
        elif self.record["Status"] == "InProgress":
            self.advance()
        elif self.record["Status"] == "Baking":
            self.succeed()
        elif self.record["Status"] == "Cancelling":
            self.end("Cancelled")
        elif self.record["Status"] == "RollbackInProgress":
            self.revert()

    def advance(self):
        self.replace_batch(self.desired)
        left = len(self.todo)
        percent = 100 if not self.total else 100 - 100 * left // self.total
        self.record.update(PercentageComplete=percent, InstancesToUpdate=left)
        limit = next((t["Value"] for t in self.group.tags if t["Key"] == "moto-rolldeck:fail-after"), None)
        if limit is not None and self.total - left >= int(limit):
            self.fail(f"The refresh was told to fail after {limit} replacements.")
        elif not left:
            if self.preferences.get("BakeTime"):
                self.record["Status"], self.wait = "Baking", int(self.preferences["BakeTime"])
            else:
                self.succeed()
        else:
            passed = [c for c in self.preferences.get("CheckpointPercentages") or [] if self.reached < c <= percent < 100]
            if passed:
                self.reached, self.wait = max(passed), int(self.preferences.get("CheckpointDelay", 3600))

    def replace_batch(self, configuration):
        group = self.group
        states = {state.instance.id: state for state in group.instance_states}
        self.todo = [i for i in self.todo if i in states]
        may_refresh = self.preferences.get("ScaleInProtectedInstances", "Wait") == "Refresh"
        ready = [i for i in self.todo if may_refresh or not states[i].protected_from_scale_in]
        healthy = int(self.preferences.get("MinHealthyPercentage", 90))
        batch = ready[: max(1, len(states) * (100 - healthy) // 100)]
        with launching_from(group, configuration):
            for instance_id in batch:
                if self.strategy == "ReplaceRootVolume":
                    states[instance_id].image_id = group.image_id  # AWS: the group's member shows it, EC2 does not
                    states[instance_id].launched_from = template_of(group)  # assumed
                else:
                    group.autoscaling_backend.terminate_instance(instance_id, False)
        self.todo = [i for i in self.todo if i not in batch]

    def succeed(self):
        if self.desired:
            apply(self.group, self.desired)
            self.group.launch_config = self.group.launch_configuration_name = None
        self.end("Successful")

    def fail(self, reason):
        self.record["StatusReason"] = reason
        if self.preferences.get("AutoRollback") and self.is_reversible():
            self.roll_back("Instance refresh failed.")
        else:
            self.end("Failed")

    def is_reversible(self):
        if not self.desired or not is_reversible(self.group):
            return False
        with launching_from(self.group, self.desired):
            return is_reversible(self.group)  # assumed: the desired side must be pinned too

    def roll_back(self, reason):
        done = self.record["PercentageComplete"]
        self.record.update(
            Status="RollbackInProgress",
            RollbackDetails={
                "RollbackReason": reason, "RollbackStartTime": utcnow(), "PercentageCompleteOnRollback": done,
                "InstancesToUpdateOnRollback": self.record["InstancesToUpdate"],
            },
        )  # fmt: skip
        if self.strategy == "ReplaceRootVolume":
            self.todo = [i for i in self.before if i not in self.todo]
        else:
            self.todo = [s.instance.id for s in self.group.instance_states if s.instance.id not in self.before]
        self.total, self.wait, self.done_before = len(self.todo), 0, done

    def revert(self):
        """InstancesToUpdate stays: it counts what the refresh never reached, and so needs no rollback."""
        self.replace_batch(None)
        left = len(self.todo)
        self.record["PercentageComplete"] = self.done_before * left // self.total if self.total else 0
        if not left:
            self.end("RollbackSuccessful")

    def end(self, status):
        self.record.update(Status=status, EndTime=utcnow())


def group_named(response, name):
    groups = response.autoscaling_backend.autoscaling_groups
    if name not in groups:
        raise ValidationError("AutoScalingGroup name not found - null")
    return groups[name]


def refreshes_of(group):
    return group.__dict__.setdefault("refreshes", [])


def active_refresh(response, allow):
    group = group_named(response, response._get_param("AutoScalingGroupName"))
    refresh = next((r for r in refreshes_of(group) if r.record["Status"] in allow), None)
    if not refresh:
        message = f"No in progress or pending Instance Refresh found for Auto Scaling group {group.name}"
        raise AutoscalingClientError("ActiveInstanceRefreshNotFound", message)
    return refresh


@extends(AutoScalingResponse)
def start_instance_refresh(self):
    group = group_named(self, self._get_param("AutoScalingGroupName"))
    if any(r.is_active for r in refreshes_of(group)):
        message = "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."
        raise AutoscalingClientError("InstanceRefreshInProgress", message)
    preferences = dict(self._get_param("Preferences") or {})
    check_preferences(preferences)
    desired = self._get_param("DesiredConfiguration") or None
    refresh = Refresh(group, copy.deepcopy(desired), preferences, self._get_param("Strategy", "Rolling"))
    refreshes_of(group).insert(0, refresh)
    return ActionResult({"InstanceRefreshId": refresh.record["InstanceRefreshId"]})


def check_preferences(preferences):
    low, high = preferences.get("MinHealthyPercentage"), preferences.get("MaxHealthyPercentage")
    points = preferences.get("CheckpointPercentages") or []
    if high is not None and (low is None or int(high) - int(low) > 100):
        raise ValidationError("MaxHealthyPercentage needs MinHealthyPercentage, at most 100 below it.")
    if points != sorted(set(points)):
        raise ValidationError("CheckpointPercentages must be unique and in ascending order.")
    if preferences.get("CheckpointDelay") is not None and not points:
        raise ValidationError("CheckpointDelay needs CheckpointPercentages.")


@extends(AutoScalingResponse)
def describe_instance_refreshes(self):
    group = group_named(self, self._get_param("AutoScalingGroupName"))
    ids = self._get_param("InstanceRefreshIds", [])
    records = [r.record for r in refreshes_of(group) if not ids or r.record["InstanceRefreshId"] in ids]
    page, token = page_of(records, self._get_param("MaxRecords", 50), self._get_param("NextToken"))
    return ActionResult({"InstanceRefreshes": page, "NextToken": token})


@extends(AutoScalingResponse)
def rollback_instance_refresh(self):
    refresh = active_refresh(self, ("Pending", "InProgress", "Baking"))
    if not refresh.is_reversible():
        raise AutoscalingClientError("IrreversibleInstanceRefresh", "The instance refresh cannot be rolled back.")
    refresh.roll_back("User initiated rollback.")
    return ActionResult({"InstanceRefreshId": refresh.record["InstanceRefreshId"]})


@extends(AutoScalingResponse)
def cancel_instance_refresh(self):
    refresh = active_refresh(self, Refresh.ACTIVE)
    refresh.record["Status"], refresh.wait = "Cancelling", 0
    return ActionResult({"InstanceRefreshId": refresh.record["InstanceRefreshId"]})


# ---------------------------------------------------------------------------------------------------------------- ECS

TAGS = {}  # (region or None for all, image reference) -> digest, as moved by POST /rolldeck/tag
BUSY = ("PENDING", "IN_PROGRESS", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "STOP_REQUESTED")


def digest_of(image, region):
    if "@sha256:" in image:
        return image.split("@", 1)[1]
    moved = TAGS.get((region, image)) or TAGS.get((None, image))
    return moved or "sha256:" + hashlib.sha256(image.encode()).hexdigest()


def ecs_arn(service, kind):
    return service.arn.replace(":service/", f":{kind}/") + "/" + str(uuid.uuid4().int)[:19]


def is_driven_by_ecs(service):
    return service.deployment_controller.get("type") == "ECS"


@extends(Task, "__init__")
def task_init(self, cluster, task_definition, *args, **kwargs):
    task_init.moto(self, cluster, task_definition, *args, **kwargs)
    self.created_at = self.started_at = utcnow()
    self.containers = []
    for definition in task_definition.container_definitions:  # moto makes the first one only
        container = Container(task_definition)
        container.task_arn, container.name, container.image = self.task_arn, definition["name"], definition["image"]
        container.image_digest = digest_of(definition["image"], cluster.region_name)
        container.last_status = "RUNNING"
        container.health_status = "HEALTHY" if definition.get("healthCheck") else "UNKNOWN"
        self.containers.append(container)
    essential = [
        c for c, d in zip(self.containers, task_definition.container_definitions, strict=True) if d.get("essential", True)
    ]
    self.health_status = "UNKNOWN" if any(c.health_status == "UNKNOWN" for c in essential) else "HEALTHY"


def new_revision(service):
    definition = service._backend.describe_task_definition(service.task_definition)
    images = [
        {"containerName": c["name"], "image": c["image"], "imageDigest": digest_of(c["image"], service.region_name)}
        for c in definition.container_definitions
    ]
    revision = {
        "serviceRevisionArn": ecs_arn(service, "service-revision"), "serviceArn": service.arn, "createdAt": utcnow(),
        "clusterArn": service.cluster_arn, "taskDefinition": definition.arn, "launchType": service.launch_type,
        "containerImages": images,
    }  # fmt: skip
    service.__dict__.setdefault("revisions", {})[revision["serviceRevisionArn"]] = revision
    return revision


def make_primary(service, revision):
    for entry in service.deployments:
        entry["status"] = "ACTIVE"
    now = utcnow()
    entry = {
        "id": f"ecs-svc/{str(uuid.uuid4().int)[:19]}", "status": "PRIMARY", "taskDefinition": revision["taskDefinition"],
        "rolloutState": "IN_PROGRESS", "rolloutStateReason": "in progress", "createdAt": now, "updatedAt": now,
        "launchType": service.launch_type, "desiredCount": service.desired_count, "runningCount": 0, "failedTasks": 0,
        "pendingCount": service.desired_count, "revision": revision,
    }  # fmt: skip
    service.deployments.insert(0, entry)
    service.task_definition = revision["taskDefinition"]


def roll_out(service):
    """A new deployment of the service's task definition, with tags resolved now."""
    log = service.__dict__.setdefault("rollouts", [])
    for running in log:
        if running["status"] in BUSY:
            running.update(status="STOPPED", finishedAt=utcnow())  # assumed: a newer deployment stops the older
    revision, now = new_revision(service), utcnow()
    sources = [{"arn": service.deployments[0]["revision"]["serviceRevisionArn"]}] if service.deployments else []
    target = {"arn": revision["serviceRevisionArn"], "requestedTaskCount": service.desired_count}
    rollout = {
        "serviceDeploymentArn": ecs_arn(service, "service-deployment"), "serviceArn": service.arn, "status": "PENDING",
        "clusterArn": service.cluster_arn, "createdAt": now, "startedAt": now, "targetServiceRevision": target,
        "sourceServiceRevisions": sources, "targetServiceRevisionArn": target["arn"],
    }  # fmt: skip
    log.insert(0, rollout)
    make_primary(service, revision)
    service.current_service_deployment = rollout["serviceDeploymentArn"]


@extends(EC2ContainerServiceBackend)
def create_service(self, *args, **kwargs):
    service = create_service.moto(self, *args, **kwargs)
    if is_driven_by_ecs(service):
        service.deployments.clear()
        if service.task_definition:
            roll_out(service)
    return service


@extends(EC2ContainerServiceBackend)
def update_service(self, service_properties):
    force = service_properties.pop("force_new_deployment", False)
    before = self._get_service(
        service_properties.get("cluster", "default"), service_properties["service"].split("/")[-1]
    ).task_definition
    service = update_service.moto(self, service_properties)
    if service.task_definition:
        service.task_definition = self.describe_task_definition(service.task_definition).arn
    if is_driven_by_ecs(service) and (force or service.task_definition != before):  # assumed: the same one starts nothing
        roll_out(service)
    return service


@extends(EC2ContainerServiceBackend)
def list_tasks(self, cluster=None, container_instance=None, family=None, started_by=None, service_name=None, desired=None):
    """AWS: of one service when it is named, and only those meant to run unless `desiredStatus` says otherwise."""
    found = list_tasks.moto(self, cluster, container_instance, family, started_by, None, desired or "RUNNING")
    group = f"service:{service_name.split('/')[-1]}" if service_name else None
    return [task for task in found if group in (None, task.group)]


def start_task(service, entry):
    backend, revision = service._backend, entry["revision"]
    definition = backend.describe_task_definition(revision["taskDefinition"])
    needs = backend._calculate_task_resource_requirements(definition)
    task = Task(
        backend._get_cluster(service.cluster_name), definition, None, needs, backend, f"service:{service.name}",
        launch_type=service.launch_type, started_by=entry["id"], networking_configuration=service.network_configuration,
    )  # fmt: skip
    pinned = {image["containerName"]: image["imageDigest"] for image in revision["containerImages"]}
    for container in task.containers:
        container.image_digest = pinned[container.name]
    backend.tasks.setdefault(service.cluster_name, {})[task.task_arn] = task


def tell(service, message):
    """AWS: the newest 100, the newest first."""
    entry = {"id": str(uuid.uuid4()), "createdAt": utcnow(), "message": f"(service {service.name}) {message}"}
    service.events = [entry, *service.events][:100]


def stop_tasks(tasks, reason):
    for task in tasks:
        task.last_status = task.desired_status = "STOPPED"
        task.stopped_reason, task.stopped_at = reason, utcnow()


def step_service(service):
    rollout, primary = service.rollouts[0], service.deployments[0]
    if rollout["status"] == "STOP_REQUESTED":
        rollout.update(status="STOPPED", finishedAt=utcnow(), stoppedAt=utcnow())
    elif rollout["status"] == "ROLLBACK_REQUESTED":
        sources = rollout["sourceServiceRevisions"]
        rollout["status"] = "ROLLBACK_IN_PROGRESS" if sources else "ROLLBACK_FAILED"
        if sources:
            make_primary(service, service.revisions[sources[0]["arn"]])
            primary = service.deployments[0]
    elif rollout["status"] == "PENDING":
        rollout["status"] = "IN_PROGRESS"
    cluster = service._backend.tasks.get(service.cluster_name, {}).values()
    tasks = [t for t in cluster if t.group == f"service:{service.name}" and t.desired_status == "RUNNING"]
    new = [t for t in tasks if t.started_by == primary["id"]]
    old = [t for t in tasks if t.started_by != primary["id"]]
    want = service.desired_count if service.status == "ACTIVE" else 0
    halted = rollout["status"] in ("STOPPED", "ROLLBACK_FAILED")
    start = min(max(1, want // 3), want - len(new) - (len(old) if halted else 0))
    for _ in range(max(0, start)):
        start_task(service, primary)
    if start > 0:
        tell(service, f"has started {start} tasks.")
    excess = len(new) + max(0, start) + len(old) - want
    stop_tasks((old + new)[: max(0, excess)], f"Scaling activity initiated by (deployment {primary['id']})")
    count(service, rollout, want)


def count(service, rollout, want):
    cluster = service._backend.tasks.get(service.cluster_name, {}).values()
    tasks = [t for t in cluster if t.group == f"service:{service.name}" and t.desired_status == "RUNNING"]
    for entry in service.deployments:
        entry["runningCount"] = sum(t.started_by == entry["id"] for t in tasks)
        entry["desiredCount"] = want if entry["status"] == "PRIMARY" else 0
        entry["pendingCount"] = max(0, entry["desiredCount"] - entry["runningCount"])
    service.deployments[1:] = [entry for entry in service.deployments[1:] if entry["runningCount"]]
    primary = service.deployments[0]
    service.running_count, service.pending_count = len(tasks), max(0, want - len(tasks))
    service.current_service_revisions = [
        {"arn": e["revision"]["serviceRevisionArn"], "requestedTaskCount": e["desiredCount"],
         "runningTaskCount": e["runningCount"], "pendingTaskCount": e["pendingCount"]}
        for e in service.deployments
    ]  # fmt: skip
    if len(service.deployments) == 1 and primary["runningCount"] == want and rollout["status"] in BUSY[:4]:
        ended = "ROLLBACK_SUCCESSFUL" if rollout["status"] == "ROLLBACK_IN_PROGRESS" else "SUCCESSFUL"
        rollout.update(status=ended, finishedAt=utcnow())
        primary.update(rolloutState="COMPLETED", rolloutStateReason=f"ECS deployment {primary['id']} completed.")


def rollouts_of(backend):
    return [r for s in backend.services.values() for r in s.__dict__.get("rollouts", [])]


@extends(EC2ContainerServiceResponse)
def list_service_deployments(self):
    service = self.ecs_backend._get_service(self._get_param("cluster", "default"), self._get_param("service"))
    wanted = self._get_param("status", [])
    found = [r for r in service.__dict__.get("rollouts", []) if not wanted or r["status"] in wanted]
    page, token = page_of(found, self._get_param("maxResults", 20), self._get_param("nextToken"))
    return ActionResult({"serviceDeployments": page, "nextToken": token})


@extends(EC2ContainerServiceResponse)
def describe_service_deployments(self):
    known = {r["serviceDeploymentArn"]: r for r in rollouts_of(self.ecs_backend)}
    return by_arn("serviceDeployments", known, self._get_param("serviceDeploymentArns", []))


@extends(EC2ContainerServiceResponse)
def describe_service_revisions(self):
    known = {a: r for s in self.ecs_backend.services.values() for a, r in s.__dict__.get("revisions", {}).items()}
    return by_arn("serviceRevisions", known, self._get_param("serviceRevisionArns", []))


def by_arn(name, known, arns):
    failures = [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in known]
    return ActionResult({name: [known[arn] for arn in arns if arn in known], "failures": failures})


@extends(EC2ContainerServiceResponse)
def stop_service_deployment(self):
    arn = self._get_param("serviceDeploymentArn")
    rollout = next((r for r in rollouts_of(self.ecs_backend) if r["serviceDeploymentArn"] == arn), None)
    if not rollout:
        raise ECSException("ServiceDeploymentNotFoundException", "The service deployment could not be found.")
    if rollout["status"] not in ("PENDING", "IN_PROGRESS"):
        raise ECSException("ConflictException", f"The service deployment is {rollout['status']}.")
    is_abort = self._get_param("stopType", "ROLLBACK") == "ABORT"
    rollout["status"] = "STOP_REQUESTED" if is_abort else "ROLLBACK_REQUESTED"
    return ActionResult({"serviceDeploymentArn": arn})


# ------------------------------------------------------------------------------------------------------ time, server


def used(backends, region):
    """The backends of every account: of one region, or of all that were used."""
    return [b for account in list(backends.values()) for name, b in list(account.items()) if region in (None, name)]


def step(region=None):
    """One second of AWS time, in one region or in all."""
    for backend in used(autoscaling_backends, region):
        for group in list(backend.autoscaling_groups.values()):
            for refresh in refreshes_of(group):
                if refresh.is_active:
                    refresh.step()
    for backend in used(ecs_backends, region):
        for service in list(backend.services.values()):
            if service.__dict__.get("rollouts"):
                step_service(service)


def step_forever(seconds):
    while True:
        time.sleep(seconds)
        with LOCK:
            try:
                step()
            except Exception:  # a test must see the fault, and the server must go on
                traceback.print_exc()


def end_without(owner):
    """Ends this process when its parent is gone, however that came about: another process takes in its children then."""
    while os.getppid() == owner:
        time.sleep(0.2)
    os._exit(0)


class OneAtATime:
    """The WSGI application: moto's, under one lock, plus /rolldeck/…"""

    def __init__(self, moto_app):
        self.moto_app = moto_app

    def __call__(self, environ, start_response):
        with LOCK:
            path, query = environ["PATH_INFO"], parse_qs(environ.get("QUERY_STRING", ""))
            region = query.get("region", [None])[0]
            if path == "/rolldeck/step":
                for _ in range(int(query.get("n", ["1"])[0])):
                    step(region)
            elif path == "/rolldeck/tag":
                TAGS[region, query["image"][0]] = query["digest"][0]
            else:
                if path == "/moto-api/reset":
                    TAGS.clear()
                return self.moto_app(environ, start_response)
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"status": "ok"}).encode()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-H", "--host", default="127.0.0.1")
    parser.add_argument("-p", "--port", type=int, default=5701, help="0: a free one")
    parser.add_argument("--tick", type=float, default=0.5, help="seconds between steps; 0: by POST /rolldeck/step only")
    parser.add_argument("--owner", type=int, metavar="PID", help="end when this process, the parent, is gone")
    options = parser.parse_args()
    if options.owner:
        threading.Thread(target=end_without, args=(options.owner,), daemon=True).start()

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    # moto lets a task walk to DEACTIVATING by being looked at
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": sys.maxsize})
    if options.tick:
        threading.Thread(target=step_forever, args=(options.tick,), daemon=True).start()
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server(options.host, options.port, app, threaded=True, request_handler=MotoRequestHandler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
