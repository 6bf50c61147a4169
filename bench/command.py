"""What the bench commands share: their options, their tables' width, and the line that ends them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from bench.machine import describe, stop_cleanly
from bench.site import Mode

Given = argparse.Namespace
_WIDTH = 150


def options(prog: str, about: str | None, *, quick: str) -> argparse.ArgumentParser:
    """--quick, --check and --plot, beside whatever the command adds."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    parser.add_argument("--plot", type=Path, help="draw the picture into this file (.svg)")
    return parser


def begin(mode: Mode) -> Console:
    """Print the machine and the mode; whatever is started from here on ends with this process."""
    stop_cleanly()
    console = Console(width=_WIDTH, highlight=False, soft_wrap=True)
    console.print(json.dumps(describe()))
    console.print(str(mode))
    return console


def conclude(figures: Mapping[str, object], given: Given, *, passed: bool) -> int:
    """The last line, `key=value ... passed=yes|no`; what the process is to exit with."""
    told = {**figures, "passed": "yes" if passed else "no"}
    sys.stdout.write(" ".join(f"{name}={value}" for name, value in told.items()) + "\n")
    return 1 if given.check and not passed else 0
