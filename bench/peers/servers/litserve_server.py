"""LitServe: one worker a core (workers_per_device), a file part, no time limit; its queue is unbounded.

No postponed annotations here: LitServe looks at the type of `request` itself.
"""

import sys

import litserve
from fastapi import Request

from bench.peers.functions import answer_bytes, load


class Heads(litserve.LitAPI):
    """Decode reads the part; predict does the work in the worker process."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        load()

    def decode_request(self, request: Request) -> bytes:
        return bytes(request["volume"].file.read())  # type: ignore[index]  # it is the parsed form by now

    def predict(self, volume: bytes) -> dict[str, list[float]]:
        return answer_bytes(volume)

    def encode_response(self, output: dict[str, list[float]]) -> dict[str, list[float]]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Heads(), accelerator="cpu", workers_per_device=2, timeout=False)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
