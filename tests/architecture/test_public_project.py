"""What a public project owes: one version everywhere, and the terms of what others made."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import yaml
from packaging.requirements import Requirement

from client.version import VERSION
from tests.architecture.tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTICE = (ROOT / "NOTICE").read_text().lower()
DEVELOPMENT = {"dev", "audit", "containers", "training"}
ASKS = re.compile(r"GPL|GNU|MPL|Mozilla", re.IGNORECASE)
"""Terms that ask for more than a notice."""


def licence(found: metadata.Distribution) -> str:
    about = found.metadata
    classes = [line for line in about.get_all("Classifier") or [] if line.startswith("License")]
    return " ".join([about.get("License-Expression") or "", (about.get("License") or "")[:200], *classes])


def installed() -> dict[str, metadata.Distribution]:
    """Every package that runs the service or a command, with what these require."""
    extras = PROJECT["optional-dependencies"]
    wanted = [
        *PROJECT["dependencies"],
        *(one for name in extras if name not in DEVELOPMENT for one in extras[name]),
    ]
    found: dict[str, metadata.Distribution] = {}
    while wanted:
        needed = Requirement(wanted.pop())
        name = re.sub(r"[-_.]+", "-", needed.name).lower()
        if name in found or (needed.marker and not needed.marker.evaluate({"extra": ""})):
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # an extra that this machine does without
            continue
        wanted += found[name].requires or []
    return found


def test_the_version_is_one() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (newest,) = re.findall(
        r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )[:1]
    assert newest == (cited["version"], str(cited["date-released"]))
    assert {PROJECT["version"], VERSION} == {cited["version"]}


def test_the_licence_is_stated_where_machines_look() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["license"] == cited["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()


def test_every_package_whose_terms_ask_for_more_is_named_in_the_notice() -> None:
    packages = installed()
    assert len(packages) > 30
    asking = {name for name, found in packages.items() if ASKS.search(licence(found))}
    spellings = {name: {name, name.replace("-", "_")} for name in asking}
    assert sorted(name for name, ways in spellings.items() if not any(way in NOTICE for way in ways)) == []


def test_every_set_of_weights_and_data_in_the_repository_is_in_the_notice() -> None:
    kinds = {".npz", ".pt", ".npy", ".pth", ".onnx"}
    packages = [
        file.parent for file in ROOT.glob("*/__init__.py") if file.parent.name not in {"tests", "bench"}
    ]
    files = [file for package in packages for file in package.rglob("*") if file.suffix in kinds]
    assert files
    tops = {str(file.relative_to(ROOT)).split("/")[0] for file in files}
    assert sorted(top for top in tops if top not in NOTICE) == []
