"""`make test-containers`: builds every image, runs docker-compose.yml, and works with it as an operator does.

HIPPOCAMP_CONTAINERS_SETUP: a program to run first with the base images it must provide.
HIPPOCAMP_WHEELS: a folder of wheels for the builds. HIPPOCAMP_COMPOSE: another compose program.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable

import httpx

from deploy.local.sample import sample_volume
from jobstore import keys
from tests.conftest import free_port
from tests.containers.engine import IMAGES, Engine, Failed
from tests.e2e.service import Service
from tests.e2e.volumes import nudged

STARTED = time.monotonic()
BASES = ("redis", "prometheus", "node")
OURS = ("gateway", "exporter", "preprocessing", "infer", "deliver", "maintain", "model-server")


def say(text: str) -> None:
    """One line of the log, with the seconds since the start."""
    sys.stdout.write(f"[{time.monotonic() - STARTED:6.1f} s] {text}\n")
    sys.stdout.flush()


def eventually(what: str, check: Callable[[], object], *, within: float) -> None:
    """Wait until `check` holds; Failed after the time."""
    ends = time.monotonic() + within
    while True:
        try:
            if check():
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > ends:
            raise Failed(f"not within {within:g} s: {what}")
        time.sleep(0.1)


def main() -> None:
    """All steps in order; whatever happens, the containers and their volumes go at the end."""
    if setup := os.environ.get("HIPPOCAMP_CONTAINERS_SETUP"):
        subprocess.run([*shlex.split(setup), *BASES], check=True, stdout=subprocess.DEVNULL)
    port, prometheus = free_port(), free_port()
    engine = Engine(
        "hippocamp-test",
        {
            "HIPPOCAMP_PORT": str(port),
            "HIPPOCAMP_PROMETHEUS_PORT": str(prometheus),
            "HIPPOCAMP_LEASE_SECONDS": "5",
        },
    )
    build(engine)
    try:
        key = start(engine)
        headers = {"Authorization": f"Bearer {key}"}
        base = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=base, headers=headers, timeout=60, trust_env=False) as http:
            work(engine, Service(http))
        hardened(engine)
        shut_in(engine)
        watched(f"http://127.0.0.1:{prometheus}")
        say("PASSED")
    except BaseException:
        tell_logs(engine)
        raise
    finally:
        engine.down()
        say("down; nothing is left running")


def build(engine: Engine) -> None:
    """Every image from its Dockerfile."""
    for image in IMAGES:
        engine.build(image)
        size = int(engine.run("image", "inspect", f"hippocamp-{image}", "--format", "{{.Size}}")) / 1e6
        say(f"built hippocamp-{image}: {size:.0f} MB")
    if not engine.fails("run", "--rm", "hippocamp-gateway", "python", "-c", "import torch"):
        raise Failed("the gateway's image carries torch")


def start(engine: Engine) -> str:
    """Up, then the first site and its key, which the gateway waits for."""
    engine.down()
    engine.compose("up", "-d")
    say(f"up: {', '.join(engine.run('ps', '--format', '{{.Names}}').split())}")
    settings = ("-e", "HIPPOCAMP_REDIS_URL=redis://redis:6379/0")
    gateway = ("run", "--rm", "--network", f"{engine.project}_inside", *settings, "hippocamp-gateway")
    eventually("Redis answers", lambda: not engine.fails(*gateway, "python", "-c", "import redis"), within=30)
    key = engine.run(*gateway, "hippocamp-admin", "sites", "add", "clinic").splitlines()[-1]
    say(f"site clinic has a key {key[:8]}...")
    return key


def work(engine: Engine, service: Service) -> None:
    """A volume; then four while there are more workers and one of them is killed."""
    eventually("/readyz is green", lambda: service.http.get("/readyz").status_code == 200, within=240)
    say("ready: " + ", ".join(service.http.get("/readyz").json()["dependencies"]))
    volume = sample_volume()
    result = service.result(submit(service, volume.read_bytes()))
    say(f"the sample volume through the published port: CDR {result['cdr']}, {result['probabilities']}")
    remembered(engine, service, volume.read_bytes())
    engine.compose("up", "-d", "--no-recreate", "--scale", "preprocessing=3")
    eventually("three of preprocessing", lambda: len(engine.containers("preprocessing")) == 3, within=60)
    say(f"scaled: {', '.join(engine.containers('preprocessing'))}")
    heads = [nudged(volume, seed) for seed in range(1, 5)]
    ids = [submit(service, head) for head in heads]
    victim = holder(engine, in_work(service, ids))
    engine.run("kill", "--signal", "KILL", victim)
    say(f"killed {victim} in the middle of a job")
    states = [service.finished(job_id, within=240) for job_id in ids]
    if [job["state"] for job in states] != ["succeeded"] * 4:
        raise Failed(f"jobs were lost: {states}")
    say("all four jobs succeeded")


def remembered(engine: Engine, service: Service, body: bytes) -> None:
    """The same bytes are answered from the cache, whose server has the result that the line's has not."""
    again = service.send_raw(body)
    if (again.status_code, again.json()["cache"]) != (200, "hit"):
        raise Failed(f"the same volume again: {again.status_code} {again.text}")
    kept = {}
    for server in ("redis", "cache"):
        (name,) = engine.containers(server)
        kept[server] = len(
            engine.run("exec", name, "redis-cli", "--raw", "KEYS", keys.cached_result("*")).split()
        )
    if kept != {"redis": 0, "cache": 1}:
        raise Failed(f"cached results lie at {kept}")
    say("the same volume again: 200 from the cache's own Redis")


def shut_in(engine: Engine) -> None:
    """What decodes strangers' files and what scores them knows no route beyond its own network."""
    ask = "print(any(line.split()[1] == '00000000' for line in open('/proc/net/route')))"
    for service, expected in {"preprocessing": "False", "infer": "False", "gateway": "True"}.items():
        for name in engine.containers(service):
            found = engine.run("exec", name, "python", "-c", ask)
            if found != expected:
                raise Failed(f"{name} has a default route: {found}, not {expected}")
    say("preprocessing and inference have no way out; the gateway has")


def submit(service: Service, body: bytes) -> str:
    """The job's id; sends again while the answer is 503, as its Retry-After asks."""
    for _ in range(5):
        answer = service.send_raw(body)
        if answer.status_code in {200, 202}:
            return str(answer.json()["id"])
        say(f"{answer.status_code}: {answer.text}")
        if answer.status_code != 503:
            break
        time.sleep(float(answer.headers["Retry-After"]))
    raise Failed(f"the gateway takes no job: {answer.text}")


def in_work(service: Service, ids: list[str]) -> str:
    """One of the jobs that a preprocessing worker holds right now."""
    found: list[str] = []

    def any_held() -> bool:
        found[:] = [job_id for job_id in ids if service.job(job_id)["state"] == "preprocessing"]
        return bool(found)

    eventually("one of the jobs is being preprocessed", any_held, within=60)
    return found[-1]


def holder(engine: Engine, job_id: str) -> str:
    """The container that holds the job: workers sign their claims with their host's name."""
    (redis,) = engine.containers("redis")
    worker = engine.run("exec", redis, "redis-cli", "--raw", "HGET", keys.record(job_id), "worker")
    return re.split("[:/]", worker)[0]


def hardened(engine: Engine) -> None:
    """Health checks pass; nobody is root; nothing but the mounts can be written."""
    for service in OURS:
        for name in engine.containers(service):
            if engine.name == "podman":
                eventually(
                    f"{name} is healthy",
                    lambda name=name: not engine.fails("healthcheck", "run", name),  # type: ignore[misc]
                    within=60,
                )
            if engine.run("exec", name, "id", "-u") != "10001":
                raise Failed(f"{name} runs as another user than 10001")
            if not engine.fails("exec", name, "touch", "/opt/hippocamp/written"):
                raise Failed(f"{name} can write to its own image")
    say("health checks pass; every service runs as user 10001 on a read-only root")


def watched(prometheus: str) -> None:
    """Prometheus finds every container by name and all of them answer."""
    found: dict[str, list[str]] = {}

    def all_up() -> bool:
        found.clear()
        answer = httpx.get(f"{prometheus}/api/v1/targets", timeout=10, trust_env=False).json()
        for target in answer["data"]["activeTargets"]:
            found.setdefault(target["labels"]["job"], []).append(target["health"])
        wanted = {"exporter", "gateway", "preprocess", "infer", "deliver", "maintain", "model_server"}
        return wanted <= set(found) and all(set(health) == {"up"} for health in found.values())

    eventually(f"all targets up, last seen {found}", all_up, within=90)
    say("Prometheus: " + ", ".join(f"{job} {len(up)} up" for job, up in sorted(found.items())))
    query = {"query": 'sum(hippocamp_job_seconds_count{state="succeeded"})'}

    def six() -> bool:
        answer = httpx.get(f"{prometheus}/api/v1/query", params=query, timeout=10, trust_env=False).json()
        return [sample["value"][1] for sample in answer["data"]["result"]] == ["6"]

    eventually("Prometheus counts the six jobs that were sent", six, within=40)
    say("Prometheus counts 6 succeeded jobs, as many as were sent")


def tell_logs(engine: Engine) -> None:
    """The last lines of every container, for whoever has to find out."""
    for name in engine.run("ps", "-a", "--format", "{{.Names}}", check=False).split():
        if name.startswith(engine.project):
            log = subprocess.run(
                [engine.name, "logs", "--tail", "8", name], capture_output=True, text=True, check=False
            )
            sys.stderr.write(f"--- {name}\n{log.stdout}{log.stderr}\n")


if __name__ == "__main__":
    main()
