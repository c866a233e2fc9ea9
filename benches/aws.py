#!/usr/bin/env python3
"""Runs the release binary against 10,000 machines in 40 groups and 10,000 ECS tasks and prints what that costs.

Figures are CPU-seconds, resident memory and wall time of this machine: compare runs with each other, nothing else.
Needs a release build: benches/aws.py [MACHINES [TASKS]]
The server is a fake in this file: every answer is rendered before the first request, so that only the client is measured.
moto, which the tests use, would take longer to answer than the client to ask.
"""
import collections, fcntl, hashlib, http.server, json, os, pathlib, pty, resource, select, signal, struct, subprocess, sys, tempfile
import termios, threading, time, urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
MACHINES = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
TASKS = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
GROUPS, TEMPLATES, SERVICES, TICKS = 40, 20, 200, os.sysconf("SC_CLK_TCK")
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
ROLLDECK = TARGET / "release" / "rolldeck"
ACCOUNT, REGION = "123456789012", "eu-west-1"
WHEN = "2026-11-20T00:00:00.000Z"


def hex17(*parts):
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:17]


def tag(key, value):
    return f"<item><key>{key}</key><value>{value}</value></item>"


def machine(number):
    group = number % GROUPS
    tags = tag("Name", f"group-{group:02}") + tag("aws:autoscaling:groupName", f"group-{group:02}") + tag("team", "bench") + tag(
        "aws:ec2launchtemplate:id", f"lt-{hex17('template', group % TEMPLATES)}") + tag("aws:ec2launchtemplate:version", "2")
    return (f"<item><instanceId>i-{hex17('machine', number)}</instanceId><instanceType>m5.large</instanceType><launchTime>{WHEN}</launchTime>"
            f"<availabilityZone>{REGION}a</availabilityZone><instanceState><code>16</code><name>running</name></instanceState>"
            f"<instanceOwnerId>{ACCOUNT}</instanceOwnerId><tagSet>{tags}</tagSet><imageMetadata><imageId>ami-{hex17('image', group % TEMPLATES, 2)}</imageId>"
            f"<name>bench-{group % TEMPLATES}-2</name><imageOwnerId>{ACCOUNT}</imageOwnerId><imageState>available</imageState><isPublic>false</isPublic>"
            f"<creationDate>{WHEN}</creationDate></imageMetadata></item>")


def spec(group, version):
    number = group % TEMPLATES
    return (f"<LaunchTemplate><LaunchTemplateId>lt-{hex17('template', number)}</LaunchTemplateId><LaunchTemplateName>bench-{number}</LaunchTemplateName>"
            f"<Version>{version}</Version></LaunchTemplate>")


def group(number):
    members = "".join(
        f"<member><InstanceId>i-{hex17('machine', at)}</InstanceId><InstanceType>m5.large</InstanceType><AvailabilityZone>{REGION}a</AvailabilityZone>"
        f"<LifecycleState>InService</LifecycleState><HealthStatus>Healthy</HealthStatus>{spec(number, 2)}<ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"
        for at in range(number, MACHINES, GROUPS))
    size = len(range(number, MACHINES, GROUPS))
    return (f"<member><AutoScalingGroupName>group-{number:02}</AutoScalingGroupName><AutoScalingGroupARN>arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:"
            f"{number}:autoScalingGroupName/group-{number:02}</AutoScalingGroupARN>{spec(number, 2)}<MinSize>0</MinSize><MaxSize>{size}</MaxSize>"
            f"<DesiredCapacity>{size}</DesiredCapacity><Instances>{members}</Instances><SuspendedProcesses/><Tags/></member>")


def awsquery(action, inner):
    return f"<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>".encode()


def version(template, number):
    return (f"<item><launchTemplateId>lt-{hex17('template', template)}</launchTemplateId><launchTemplateName>bench-{template}</launchTemplateName>"
            f"<versionNumber>{number}</versionNumber><createTime>{WHEN}</createTime><defaultVersion>{str(number == 1).lower()}</defaultVersion>"
            f"<launchTemplateData><imageId>ami-{hex17('image', template, number)}</imageId></launchTemplateData></item>")


class Fake:
    """Answers by action and by what tells pages apart."""

    def __init__(self):
        self.answers, self.calls, self.last = {}, collections.Counter(), 0.0
        put = self.answers.__setitem__
        put(("GetCallerIdentity", ""), awsquery("GetCallerIdentity", f"<Arn>arn:aws:sts::{ACCOUNT}:user/bench</Arn><Account>{ACCOUNT}</Account>"))
        put(("DescribeAutoScalingGroups", ""), awsquery("DescribeAutoScalingGroups", f"<AutoScalingGroups>{''.join(map(group, range(GROUPS)))}</AutoScalingGroups>"))
        put(("DescribeInstanceRefreshes", ""), awsquery("DescribeInstanceRefreshes", "<InstanceRefreshes/>"))
        pages = range(0, MACHINES, 1000)
        for page in pages:
            rows = "".join(map(machine, range(page, min(page + 1000, MACHINES))))
            following = f"<nextToken>{page + 1000}</nextToken>" if page + 1000 < MACHINES else ""
            put(("DescribeInstanceImageMetadata", str(page) if page else ""),
                f"<DescribeInstanceImageMetadataResponse><instanceImageMetadataSet>{rows}</instanceImageMetadataSet>{following}</DescribeInstanceImageMetadataResponse>".encode())
        if not MACHINES:
            put(("DescribeInstanceImageMetadata", ""), b"<DescribeInstanceImageMetadataResponse/>")
        templates = "".join(f"<item><launchTemplateId>lt-{hex17('template', at)}</launchTemplateId><defaultVersionNumber>1</defaultVersionNumber>"
                            "<latestVersionNumber>2</latestVersionNumber></item>" for at in range(TEMPLATES))
        put(("DescribeLaunchTemplates", ""), f"<DescribeLaunchTemplatesResponse><launchTemplates>{templates}</launchTemplates></DescribeLaunchTemplatesResponse>".encode())
        for at in range(TEMPLATES):
            put(("DescribeLaunchTemplateVersions", f"lt-{hex17('template', at)}"), ("<DescribeLaunchTemplateVersionsResponse><launchTemplateVersionSet>"
                f"{version(at, 1)}{version(at, 2)}</launchTemplateVersionSet></DescribeLaunchTemplateVersionsResponse>").encode())
        images = "".join(f"<item><imageId>ami-{hex17('image', at, number)}</imageId><imageState>available</imageState><architecture>x86_64</architecture>"
                         f"<name>bench-{at}-{number}</name></item>" for at in range(TEMPLATES) for number in (1, 2))
        put(("DescribeImages", ""), f"<DescribeImagesResponse><imagesSet>{images}</imagesSet></DescribeImagesResponse>".encode())
        self.ecs()

    def ecs(self):
        arn = lambda kind, rest: f"arn:aws:ecs:{REGION}:{ACCOUNT}:{kind}/{rest}"
        cluster = arn("cluster", "bench")
        put = lambda action, key, value: self.answers.__setitem__((action, key), json.dumps(value).encode())
        put("ListClusters", "", {"clusterArns": [cluster]})
        names = [f"service-{at:03}" for at in range(SERVICES)] if TASKS else []
        arns = [arn("service", f"bench/{name}") for name in names]
        for page in range(0, max(1, len(arns)), 100):
            token = {"nextToken": str(page + 100)} if page + 100 < len(arns) else {}
            put("ListServices", str(page) if page else "", {"serviceArns": arns[page:page + 100], **token})
        digest = lambda name: "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        for name, service in zip(names, arns):
            size = len(range(names.index(name), TASKS, SERVICES))
            deployment = {"id": f"ecs-svc/{name}", "status": "PRIMARY", "rolloutState": "COMPLETED", "desiredCount": size, "runningCount": size, "createdAt": 1763596800.0}
            put("DescribeServices", service, {
                "serviceArn": service, "serviceName": name, "clusterArn": cluster, "status": "ACTIVE", "desiredCount": size, "runningCount": size,
                "taskDefinition": arn("task-definition", f"{name}:2"), "deployments": [deployment], "currentServiceDeployment": arn("service-deployment", f"{name}/2"),
                "currentServiceRevisions": [{"arn": arn("service-revision", f"{name}/2"), "runningTaskCount": size}]})
            put("ListServiceDeployments", service, {"serviceDeployments": [
                {"serviceDeploymentArn": arn("service-deployment", f"{name}/{at}"), "status": "SUCCESSFUL", "targetServiceRevisionArn": arn("service-revision", f"{name}/{at}"),
                 "createdAt": 1763596800.0 + at} for at in (2, 1)]})
            for at in (1, 2):
                put("DescribeServiceRevisions", arn("service-revision", f"{name}/{at}"), {
                    "serviceRevisionArn": arn("service-revision", f"{name}/{at}"), "serviceArn": service, "taskDefinition": arn("task-definition", f"{name}:{at}"),
                    "createdAt": 1763596800.0 + at, "containerImages": [{"containerName": "app", "image": f"registry.example/{name}:v{at}", "imageDigest": digest(f"{name}{at}")}]})
        tasks = [arn("task", f"bench/{hex17('task', at)}") for at in range(TASKS)]
        for page in range(0, max(1, TASKS), 100):
            token = {"nextToken": str(page + 100)} if page + 100 < TASKS else {}
            put("ListTasks", str(page) if page else "", {"taskArns": tasks[page:page + 100], **token})
            rows = []
            for at in range(page, min(page + 100, TASKS)):
                name = names[at % SERVICES]
                rows.append({"taskArn": tasks[at], "clusterArn": cluster, "group": f"service:{name}", "taskDefinitionArn": arn("task-definition", f"{name}:2"),
                             "lastStatus": "RUNNING", "desiredStatus": "RUNNING", "healthStatus": "HEALTHY", "startedAt": 1763596800.0, "launchType": "FARGATE", "cpu": "256",
                             "containers": [{"name": "app", "image": f"registry.example/{name}:v2", "imageDigest": digest(f"{name}2"), "lastStatus": "RUNNING", "healthStatus": "HEALTHY"}]})
            if rows:
                put("DescribeTasks", tasks[page], {"tasks": rows, "failures": []})

    def answer(self, target, body):
        self.last = time.monotonic()
        if target:
            action, asked = target.rsplit(".", 1)[1], json.loads(body or b"{}")
            self.calls[action] += 1
            if action == "DescribeServices":
                return b'{"services":[' + b",".join(self.answers[action, one] for one in asked["services"]) + b'],"failures":[]}'
            if action == "DescribeServiceRevisions":
                return b'{"serviceRevisions":[' + b",".join(self.answers[action, one] for one in asked["serviceRevisionArns"]) + b'],"failures":[]}'
            key = asked["tasks"][0] if action == "DescribeTasks" else asked.get("nextToken", "") if action.startswith("List") else ""
            return self.answers[action, asked["service"] if action == "ListServiceDeployments" else key]
        asked = dict(urllib.parse.parse_qsl(body.decode()))
        action = asked["Action"]
        self.calls[action] += 1
        return self.answers[action, asked.get("LaunchTemplateId") or asked.get("NextToken", "")]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self):
        target = self.headers.get("X-Amz-Target")
        answer = self.server.fake.answer(target, self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1" if target else "text/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    def log_message(self, *_):
        pass


def cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid, what):
    return next(int(line.split()[1]) / 1024 for line in open(f"/proc/{pid}/status") if line.startswith(what))


def drain(master, seconds, until=None):
    """Reads the screen for a while, or until it shows something; answers how long that took."""
    seen, start = b"", time.monotonic()
    while (left := start + seconds - time.monotonic()) > 0:
        if select.select([master], [], [], left)[0]:
            seen = (seen + os.read(master, 65536))[-200_000:]
            if until and until(seen):
                break
    return time.monotonic() - start


def main():
    fake = Fake()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.fake, server.daemon_threads = fake, True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="rolldeck-bench-") as folder:
        config = pathlib.Path(folder, "config.toml")
        config.write_text(f'[[places]]\nkind = "aws"\nid = "aws/bench"\nregion = "{REGION}"\nendpoint_url = "http://127.0.0.1:{server.server_port}"\n')
        environment = {"HOME": folder, "PATH": os.environ["PATH"], "TERM": "xterm-256color", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        arguments = [str(ROLLDECK), "--config", str(config), "--state-dir", f"{folder}/state"]
        for _ in range(3):
            fake.calls.clear()
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            answer = json.loads(subprocess.run([*arguments, "fleet", "--output", "json"], env=environment, stdout=subprocess.PIPE, check=True).stdout)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert answer["totals"]["instances"] == MACHINES + TASKS and answer["complete"], answer["totals"]
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"fleet, read and printed: {time.monotonic() - start:.2f} s, {used:.2f} CPU-s, {sum(fake.calls.values())} calls")
        started = time.monotonic()
        pid, master = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
            os.execve(arguments[0], arguments, environment)
        try:
            os.write(master, b"2")
            first = drain(master, 20, lambda seen: b"group-0" in seen)
            drain(master, 4)
            print(f"first rows after {first:.2f} s, last answer after {fake.last - started:.2f} s")
            print(f"cockpit: {memory(pid, 'VmRSS'):.1f} MiB resident, peak {memory(pid, 'VmHWM'):.1f} MiB, {cpu(pid):.2f} CPU-s so far")
            fake.calls.clear()
            before, start = cpu(pid), time.monotonic()
            drain(master, 60)
            looks = fake.calls["ListClusters"]
            print(f"a minute without changes: {looks} looks, {(cpu(pid) - before) / max(1, looks):.3f} CPU-s each, {sum(fake.calls.values())} calls: "
                  f"{sum(number for name, number in fake.calls.items() if name in EC2) / max(1, looks):.0f} a look for machines and groups; "
                  f"{memory(pid, 'VmRSS'):.1f} MiB resident")
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


EC2 = ("DescribeAutoScalingGroups", "DescribeInstanceRefreshes", "DescribeInstanceImageMetadata", "DescribeLaunchTemplates",
       "DescribeLaunchTemplateVersions", "DescribeImages")


if __name__ == "__main__":
    main()
