"""A C-STORE listener: takes series from modalities and PACS, hands each to the gateway by STOW-RS.

It is a process of its own, `hippocamp-pacs listen`, and a client of the gateway like any other: every AE
title has a site's key. An instance is on disk, without what names a person, before its sender is told that it
was stored.
"""

from __future__ import annotations

import json
import logging
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    EnhancedMRImageStorage,
    MRImageStorage,
    Verification,
)

from client.connection import Connection
from imaging.deidentify import Rules
from imaging.dicom_file import UnreadableInstance
from imaging.instances import deidentify
from pacs.inbox import BOUNDARY, Inbox, Waiting

_log = logging.getLogger("hippocamp.listener")

STORED, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_MOST_ASSOCIATIONS = 16
_SECONDS = 60.0


def read_senders(path: Path) -> dict[str, str]:
    """AE title -> API key, from a TOML file of `TITLE = "key"` lines; ValueError for what is no title."""
    table = tomllib.loads(path.read_text())
    for title, key in table.items():
        if not (
            1 <= len(title) <= 16 and title.isascii() and title.replace("_", "").replace("-", "").isalnum()
        ):
            raise ValueError(f"{title!r} is no AE title: 1 to 16 letters, digits, - and _")
        if not isinstance(key, str):
            raise ValueError(f"the key of {title} must be text")
    if not table:
        raise ValueError(f"{path} names no AE title")
    return {str(title): key for title, key in table.items()}


@dataclass
class Listener:
    """Receives, and forwards what has been quiet for `quiet_seconds`. keep: age,sex of patients."""

    url: str
    senders: Mapping[str, str]
    inbox: Inbox
    title: str = "HIPPOCAMP"
    quiet_seconds: float = 10.0
    keep: str = ""

    def start(self, host: str, port: int) -> Any:
        """Listen in threads; the server, with `shutdown()`. Unknown AE titles are rejected at association."""
        entity = AE(ae_title=self.title)
        entity.require_calling_aet = list(self.senders)
        entity.maximum_associations = _MOST_ASSOCIATIONS
        entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = _SECONDS
        for context in (Verification, MRImageStorage, EnhancedMRImageStorage):
            entity.add_supported_context(context)
        return entity.start_server((host, port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])

    def _store(self, event: Any) -> int:
        try:
            sender = str(event.assoc.requestor.ae_title).strip()
            request = event.dataset
            rules = Rules(keep=frozenset(filter(None, self.keep.split(","))))
            data = deidentify(event.encoded_dataset(), rules)
            self.inbox.add(
                sender,
                str(request.SeriesInstanceUID),
                instance=str(event.request.AffectedSOPInstanceUID),
                data=data,
            )
        except OSError:
            _log.exception("instance.not_kept")
            return OUT_OF_RESOURCES
        except (AttributeError, ValueError, UnreadableInstance):
            return CANNOT_UNDERSTAND
        return STORED

    def forward(self) -> int:
        """Send every quiet series once; how many are done with. What cannot be sent now stays on disk."""
        return sum(self._send(series) for series in self.inbox.take_quiet(self.quiet_seconds))

    def _send(self, series: Waiting) -> bool:
        key = self.senders.get(series.sender, "")
        headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}
        headers |= {"Hippocamp-Keep": self.keep} if self.keep else {}
        try:
            with httpx.Client(**Connection(self.url, key, 300).options()) as http:
                answer = http.post("/dicom-web/studies", content=series.body(), headers=headers)
        except httpx.TransportError as error:
            _log.warning("series.waits", extra={"why": type(error).__name__})
            return False
        if answer.status_code not in {200, 202, 409, 413}:
            _log.warning("series.waits", extra={"why": f"HTTP {answer.status_code}"})
            return False
        _log.info("series.forwarded", extra={"sender": series.sender, **_summary(answer)})
        series.forget()
        return True


def _summary(answer: httpx.Response) -> dict[str, Any]:
    """What became of a series, without its identifiers: jobs, and the reasons of what was not taken."""
    try:
        found = answer.json()
    except json.JSONDecodeError:
        return {"status": answer.status_code}
    stored = found.get("00081199", {}).get("Value", [])
    refused = found.get("00081198", {}).get("Value", []) + found.get("00081196", {}).get("Value", [])
    jobs = {item["00081190"]["Value"][0].rsplit("/", 1)[-1] for item in stored}
    reasons = {item["0040A160"]["Value"][0] for item in refused if "0040A160" in item}
    return {"status": answer.status_code, "jobs": sorted(jobs), "refused": sorted(reasons)}
