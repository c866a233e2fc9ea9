#!/usr/bin/env python3
"""Runs the release binary against 10,000 pods of 12 KB on a real API server and prints what it costs.

Figures are CPU-seconds, resident memory and wall time of this machine: compare runs with each other, nothing else.
Needs what tests/real/build.sh makes and a release build: benches/pods.py [PODS]
The pods are written straight into etcd, with the controllers stopped: nobody would run 10,000 of them.
"""
import base64, fcntl, hashlib, json, os, pathlib, pty, resource, select, signal, struct, subprocess, sys, tempfile, termios, time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PODS = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
PORT, TICKS = 23443, os.sysconf("SC_CLK_TCK")
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
ROLLDECK = TARGET / "release" / "rolldeck"


def digest(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))


def put(pairs):
    """Writes keys in one transaction of etcd."""
    encode = lambda raw: base64.b64encode(raw.encode()).decode()
    operations = [{"requestPut": {"key": encode(key), "value": encode(json.dumps(value))}} for key, value in pairs]
    post(f"http://127.0.0.1:{PORT + 10}/v3/kv/txn", {"success": operations})


def meta(name, uid, **more):
    return {"name": name, "namespace": "bench", "uid": uid, "creationTimestamp": "2026-11-20T00:00:00Z", **more}


def template(app, version):
    image = f"registry.example/bench/{app}:{version}@{digest(app + version)}"
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": app, "image": image}], "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler", "securityContext": {}}}


def workloads(count):
    pairs = []
    for number in range(count):
        app = f"app-{number:03}"
        owner = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": app, "uid": f"d-{number}", "controller": True}]
        replicas = PODS // count
        status = {"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template(app, "v1")}
        rs_meta = meta(app + "-1", f"r-{number}", ownerReferences=owner, annotations={"deployment.kubernetes.io/revision": "1"})
        pairs.append((f"/registry/deployments/bench/{app}", {"apiVersion": "apps/v1", "kind": "Deployment",
                      "metadata": meta(app, f"d-{number}", generation=1), "spec": {**spec, "strategy": {"type": "RollingUpdate"}}, "status": status}))
        pairs.append((f"/registry/replicasets/bench/{app}-1", {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": rs_meta, "spec": spec, "status": {"replicas": replicas}}))
    return pairs


def pod(number, count, restarts=0):
    app = f"app-{number % count:03}"
    name = f"{app}-1-{number:05}"
    padding = {f"example.dev/note-{line}": f"{name} " * 60 for line in range(9)}
    owner = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app + "-1", "uid": f"r-{number % count}", "controller": True}]
    ready = [{"type": kind, "status": "True"} for kind in ("Initialized", "PodScheduled", "ContainersReady", "Ready")]
    image = template(app, "v1")["spec"]["containers"][0]["image"]
    container = {"name": app, "image": image, "imageID": image, "ready": True, "started": True, "restartCount": restarts,
                 "state": {"running": {"startedAt": "2026-11-20T00:00:10Z"}}}
    value = {"apiVersion": "v1", "kind": "Pod", "metadata": meta(name, f"p-{number}", labels={"app": app}, annotations=padding, ownerReferences=owner),
             "spec": {**template(app, "v1")["spec"], "nodeName": "amd64-1"},
             "status": {"phase": "Running", "startTime": "2026-11-20T00:00:05Z", "conditions": ready, "containerStatuses": [container]}}
    return f"/registry/pods/bench/{name}", value


def cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid, what):
    return next(int(line.split()[1]) / 1024 for line in open(f"/proc/{pid}/status") if line.startswith(what))


def drain(master, seconds):
    """Reads the cockpit's screen for a while; answers how many bytes it drew."""
    drawn, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([master], [], [], left)[0]:
            try:
                drawn += len(os.read(master, 65536))
            except OSError:  # the cockpit has ended
                break
    return drawn


def first_frame(master, started):
    """Milliseconds until the header of the first frame was read."""
    seen, end = b"", started + 10
    while b"DRIFT" not in seen:
        if not select.select([master], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError("no frame within 10 s")
        seen += os.read(master, 65536)
    return 1000 * (time.monotonic() - started)


def received(pid):
    """Megabytes that its open connections have taken off the wire, TLS included; None without `ss`."""
    try:
        lines = subprocess.run(["ss", "-tinp"], capture_output=True, text=True, check=True).stdout.splitlines()
    except FileNotFoundError:
        return None
    ours = [lines[at + 1] for at, line in enumerate(lines[:-1]) if f"pid={pid}," in line]
    return sum(int(word.split(":")[1]) for line in ours for word in line.split() if word.startswith("bytes_received:")) / 1e6


def main():
    assets = subprocess.run([ROOT / "tests/real/build.sh"], capture_output=True, text=True, check=True).stdout.strip().split("=", 1)[1]
    state = tempfile.mkdtemp(prefix="rolldeck-bench-")
    here = ROOT / "tests/real/control-plane"
    environment = {**os.environ, "KUBEBUILDER_ASSETS": assets, "OWNER_PID": str(os.getpid()), "LIFETIME": "900"}
    subprocess.run([here / "start.sh", state, str(PORT), "bench"], env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        for name in ("controllers", "scheduler", "kwok"):
            os.kill(int(pathlib.Path(state, name + ".pid").read_text()), signal.SIGKILL)
        put([("/registry/namespaces/bench", {"apiVersion": "v1", "kind": "Namespace", "metadata": {**meta("bench", "n-1"), "namespace": ""}, "status": {"phase": "Active"}})])
        put(workloads(100)[:100]); put(workloads(100)[100:])
        rows = [pod(number, 100) for number in range(PODS)]
        for start in range(0, PODS, 50):
            put(rows[start:start + 50])
        print(f"{PODS} pods of {len(json.dumps(rows[0][1])) / 1024:.1f} KB")
        arguments = [ROLLDECK, "--kubeconfig", f"{state}/kubeconfig", "--context", "bench", "--state-dir", f"{state}/rolldeck"]
        for run in range(3):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            answer = json.loads(subprocess.run([*arguments, "fleet", "--output", "json"], capture_output=True, check=True).stdout)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert answer["totals"]["instances"] == PODS and answer["complete"], answer["totals"]
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"fleet, listed and printed: {time.monotonic() - start:.2f} s, {used:.2f} CPU-s")
        started = time.monotonic()
        pid, master = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm-256color"
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
            os.execv(arguments[0], [str(argument) for argument in arguments])
        print(f"first frame after {first_frame(master, started):.0f} ms")
        drain(master, 6)
        wire = received(pid)
        print("on the wire: not measured, ss is missing" if wire is None else f"on the wire: {wire:.1f} MB for the first lists")
        print(f"cockpit: {memory(pid, 'VmRSS'):.1f} MiB resident, peak {memory(pid, 'VmHWM'):.1f} MiB, {cpu(pid):.2f} CPU-s so far")
        before, start = cpu(pid), time.monotonic()
        drawn = drain(master, 20)
        print(f"idle: {100 * (cpu(pid) - before) / (time.monotonic() - start):.2f} % of a core, {drawn} bytes drawn in 20 s")
        before, start, updates = cpu(pid), time.monotonic(), 0
        while time.monotonic() - start < 15:
            put([pod((updates + more) % PODS, 100, restarts=1 + updates // PODS) for more in range(50)])
            updates += 50
            drain(master, max(0.0, start + updates / 1000 - time.monotonic()))
        elapsed = time.monotonic() - start
        print(f"{updates / elapsed:.0f} pod updates a second: {100 * (cpu(pid) - before) / elapsed:.1f} % of a core, "
              f"{memory(pid, 'VmRSS'):.1f} MiB resident, peak {memory(pid, 'VmHWM'):.1f} MiB")
        os.write(master, b"q")
        drain(master, 1)
        os.waitpid(pid, 0)
    finally:
        subprocess.run([here / "stop.sh", state], check=False)


main()
