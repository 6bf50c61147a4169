"""What `hippocamp-admin doctor` finds in the environment: names nobody reads, values a service refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from operators.doctor.checks import Finding, Verdict

_PREFIX = "HIPPOCAMP_"
_PACKAGES = (
    "contracts",
    "imaging",
    "gateway",
    "preprocessing_service",
    "workers",
    "deploy",
    "model_store",
    "client",
)
_READ = re.compile(
    r"""(?:env_(?:text|number|count|flag|redis|folder)|_port)\(\s*"([A-Z_]+)"|HIPPOCAMP_([A-Z_]+)"""
)
_SERVICES = {
    "gateway": "gateway.settings",
    "preprocessing": "preprocessing_service.settings",
    "workers": "workers.settings",
    "exporter": "deploy.exporter.settings",
}
_OURS_TOO = frozenset({"DATA", "COMPLETE"})
"""Read by benches and by the shell's completion."""


def setting_checks() -> Iterator[Finding]:
    """Unknown names first, then each service that is installed here: would it start on these values."""
    known = known_names()
    given = sorted(name.removeprefix(_PREFIX) for name in os.environ if name.startswith(_PREFIX))
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            advice = f"Did you mean {_PREFIX}{near[0]}?" if near else "Remove it"
            yield Finding("setting", Verdict.ODD, f"nothing reads {_PREFIX}{name}", advice)
    here = {service: module for service, module in _SERVICES.items() if _is_installed(module)}
    running = {service: _construct(module) for service, module in here.items()}
    for service, process in running.items():
        _, said = process.communicate(timeout=60)
        last = said.strip().splitlines()[-1:] or [""]
        bad = process.returncode != 0
        found = last[0] if bad else f"{service} takes them"
        yield Finding(
            "settings", Verdict.BAD if bad else Verdict.GOOD, found, "Mend or unset it" if bad else ""
        )


def known_names() -> set[str]:
    """Every variable that a part installed here reads, without its prefix, from their sources."""
    found = set(_OURS_TOO)
    for package in _PACKAGES:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            for file in Path(place).rglob("*.py"):
                found |= {one or other for one, other in _READ.findall(file.read_text(errors="replace"))}
    return found


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _construct(module: str) -> subprocess.Popen[str]:
    """In a process of its own: services share nothing with the client, and a refusal ends the process."""
    script = f"import {module} as found; found.Settings()"
    return subprocess.Popen(  # noqa: S603  a fixed list of our own modules
        [sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
