"""`make audit`: what public advisories say of the pinned packages, and of how many they know."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_PINS = Path(__file__).resolve().parents[1] / "constraints.txt"
_SECONDS = 300


def main() -> int:
    """1 when a package has a known vulnerability; 0 when none has, or when nobody could be asked."""
    command = [
        sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--timeout", "5",
        "--no-deps", "--disable-pip", "-r", str(_PINS),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603  our own words
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError, KeyError) as error:
        _say(f"NOT AUDITED: no advisory service answered ({type(error).__name__})")
        return 0
    return _judge(found)


def _judge(found: list[dict[str, Any]]) -> int:
    asked = [one for one in found if "skip_reason" not in one]
    if not asked:
        _say(
            f"NOT AUDITED: none of {len(found)} packages is known to a service that can be reached from here"
        )
        return 0
    bad = [one for one in asked if one["vulns"]]
    left = len(found) - len(asked)
    _say(f"{len(bad)} of {len(asked)} packages have known vulnerabilities; {left} were not looked up")
    for one in bad:
        _say(f"{one['name']} {one['version']}: {', '.join(vuln['id'] for vuln in one['vulns'])}")
    return 1 if bad else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    raise SystemExit(main())
