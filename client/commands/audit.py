"""`hippocamp audit ...` for operators: check the audit log."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.group()
def audit() -> None:
    """The audit log (for operators: reads the file itself)."""


@audit.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--head", default="", help="A hash noted earlier, which must still be in the log.")
def verify(file: Path, head: str) -> None:
    """Walk the chain of hashes; status 1 names the first line that breaks it."""
    from contracts.audit import main

    sys.exit(main(["verify", str(file), *(["--head", head] if head else [])]))


@audit.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def fhir(file: Path) -> None:
    """Every event as a FHIR R4 AuditEvent, one JSON object a line."""
    from contracts.audit import read
    from contracts.audit_fhir import to_fhir_json

    for event in read(file):
        click.echo(to_fhir_json(event))
