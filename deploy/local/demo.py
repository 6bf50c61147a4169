"""The demonstration: a hospital gets a site and a key, sends one real scan over HTTP and reads the result."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from contracts.result import CDR, CLASS_KEYS, LABELS
from contracts.states import JobState
from deploy.local.settings import LocalSettings

MOST_WAIT_SECONDS = 180
SITE = "demo-hospital"


def demonstrate(settings: LocalSettings, volume: Path, folder: Path, console: Console) -> None:
    """Add a site, send `volume` with its key, show it move, print the answer, save the overlay.

    SystemExit on failure.
    """
    key = add_site(settings, console)
    url, headers = settings.gateway_url, {"Authorization": f"Bearer {key}"}
    console.print(f"$ curl -H 'Authorization: Bearer {key[:24]}...' -F file=@{volume.name} {url}/v1/jobs")
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        started = time.monotonic()
        job = submit(client, volume)
        console.print(f"accepted  {job['id']}  ({volume.stat().st_size / 1e6:.1f} MB, cache: {job['cache']})")
        job = follow(client, job, console, started)
        result = client.get(f"/v1/jobs/{job['id']}/result").raise_for_status().json()
        show(job, result, console)
        picture = save(client, job["id"], folder)
        console.print(f"overlay   {picture}")
        console.print(f"[dim]{result['notice']}[/dim]")


def add_site(settings: LocalSettings, console: Console) -> str:
    """Configure the hospital as an operator does; returns its first key."""
    command = ["hippocamp-admin", "sites", "add", SITE]
    console.print(f"$ {' '.join(command)}")
    program = shutil.which("hippocamp-admin", path=str(Path(sys.executable).parent))
    if program is None:
        raise SystemExit("The command hippocamp-admin is not installed: run `make setup`")
    done = subprocess.run(  # noqa: S603  our own command
        [program, *command[1:]], env=settings.environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"The site could not be added: {done.stderr.strip()}")
    return done.stdout.strip()


def submit(client: httpx.Client, volume: Path) -> dict[str, Any]:
    """Upload as a stream; returns the job."""
    with volume.open("rb") as body:
        response = client.post("/v1/jobs", files={"file": (volume.name, body)})
    if response.is_error:
        raise SystemExit(f"The gateway refused the volume: {response.text}")
    return dict(response.json())


def follow(client: httpx.Client, job: dict[str, Any], console: Console, started: float) -> dict[str, Any]:
    """Poll until the job is terminal, printing every change of state and step."""
    seen = ""
    while not JobState(job["state"]).is_terminal:
        if time.monotonic() - started > MOST_WAIT_SECONDS:
            raise SystemExit(f"Job {job['id']} is still {job['state']} after {MOST_WAIT_SECONDS} s")
        now = f"{job['state']}  {(job.get('progress') or {}).get('step') or ''}"
        if now != seen:
            console.print(f"{time.monotonic() - started:7.2f} s  {now}")
            seen = now
        time.sleep(0.05)
        job = client.get(f"/v1/jobs/{job['id']}").raise_for_status().json()
    console.print(f"{time.monotonic() - started:7.2f} s  {job['state']}")
    if job["state"] != JobState.SUCCEEDED:
        raise SystemExit(f"The job ended as {job['state']}: {job.get('error')}")
    return job


def show(job: dict[str, Any], result: dict[str, Any], console: Console) -> None:
    """Print the answer, what made it and how long each step took."""
    answers = Table("CDR", "", "probability", "90 % interval", title="Result")
    for cdr, key in zip(CDR, CLASS_KEYS, strict=True):
        low, high = result["interval"][key]
        mark = "[bold]" if cdr == result["cdr"] else ""
        answers.add_row(
            f"{mark}{cdr}",
            f"{mark}{LABELS[cdr]}",
            f"{mark}{result['probabilities'][key]:.3f}",
            f"{low:.3f} to {high:.3f}",
        )
    console.print(answers)
    known = ", ".join(result["prediction_set"])
    console.print(f"stage     CDR {result['cdr']} ({result['label']}); cannot rule out: {known}")
    console.print(f"model     {result['model_digest']}")
    console.print(f"pipeline  {result['pipeline_digest']}")
    seconds = "  ".join(f"{name} {value:.2f}" for name, value in result["seconds"].items())
    console.print(f"seconds   {seconds}")
    waits = "  ".join(f"{name} {value:.2f}" for name, value in job["timings"].items() if value is not None)
    console.print(f"timings   {waits}")


def save(client: httpx.Client, job_id: str, folder: Path) -> Path:
    """Store the overview picture and the heat map volume; returns the picture's path."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / "overlay.png"
    picture.write_bytes(client.get(f"/v1/jobs/{job_id}/overview.png").raise_for_status().content)
    heat = client.get(f"/v1/jobs/{job_id}/explanation.nii.gz").raise_for_status().content
    (folder / "explanation.nii.gz").write_bytes(heat)
    return picture
