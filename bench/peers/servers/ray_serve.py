"""Ray Serve: one replica a core, one request at a time each, the router's queue unbounded, no dashboard."""

from __future__ import annotations

import signal
import sys

import ray
from ray import serve
from starlette.requests import Request

from bench.peers.functions import SINGLE, answer_bytes, load


@serve.deployment(num_replicas=2, max_ongoing_requests=1, ray_actor_options={"num_cpus": 1})
class Heads:
    """POST / with the volume as its body."""

    def __init__(self) -> None:
        load()

    async def __call__(self, request: Request) -> dict[str, list[float]]:
        return answer_bytes(await request.body())


if __name__ == "__main__":
    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=300_000_000, log_to_driver=False,
        runtime_env={"env_vars": SINGLE}, _node_ip_address="127.0.0.1",
    )  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])}, proxy_location="HeadOnly")
    serve.run(Heads.bind())
    print("serving", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()  # without serve.shutdown(), which waits half a minute for its controller
