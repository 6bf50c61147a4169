"""A C-STORE listener: takes instances from modalities and PACS, hands them to the gateway by STOW-RS at once.

It is a process of its own, `hippocamp-pacs listen`, and a client of the gateway like any other: every AE
title has a site's key. An instance is on disk, without what names a person, before its sender is told that it
was stored; it stays there until the gateway has taken it. The gateway collects series, for both doors.
"""

from __future__ import annotations

import json
import logging
import threading
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
from imaging.patient import asked_for
from pacs.inbox import BOUNDARY, Group, Spool

_log = logging.getLogger("hippocamp.listener")

STORED, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_MOST_ASSOCIATIONS = 16
_SECONDS = 60.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds between tries while the gateway takes nothing, and until a stop is seen."""


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
    """Receives, and forwards what it has. keep: age,sex of patients."""

    url: str
    senders: Mapping[str, str]
    spool: Spool
    title: str = "HIPPOCAMP"
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
            rules = Rules(keep=asked_for(self.keep))
            data = deidentify(event.encoded_dataset(), rules)
            self.spool.add(sender, instance=str(event.request.AffectedSOPInstanceUID), data=data)
        except OSError:
            _log.exception("instance.not_kept")
            return OUT_OF_RESOURCES
        except (AttributeError, ValueError, UnreadableInstance):
            return CANNOT_UNDERSTAND
        return STORED

    def run(self, stopped: threading.Event) -> None:
        """Forward until it is set; what the gateway does not take now is tried again, after longer pauses."""
        pause = _SHORTEST_PAUSE
        while not stopped.is_set():
            self.spool.arrived.clear()
            if self.forward():
                pause = _SHORTEST_PAUSE
            elif self.spool.is_empty():
                self.spool.arrived.wait(_SHORTEST_PAUSE)
            else:
                stopped.wait(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)

    def forward(self) -> int:
        """Send everything that waits once; how many instances are done with. The others stay on disk."""
        done, stuck = 0, set[str]()
        for group in self.spool.groups():
            answered = None if group.sender in stuck else self._send(group)
            if answered is None:
                stuck.add(group.sender)
                continue
            if not answered and len(group.files) > 1:  # one of them spoils the others
                answered = self._send_each(group)
            group.forget(answered)
            done += len(answered)
        return done

    def _send_each(self, group: Group) -> list[str]:
        done: list[str] = []
        for uid, file in group.files.items():
            done += self._send(Group(group.sender, {uid: file})) or []
        return done

    def _send(self, group: Group) -> list[str] | None:
        """UIDs that are done with, taken or not wanted; None when the gateway takes nothing at present."""
        key = self.senders.get(group.sender, "")
        headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}
        headers |= {"Hippocamp-Keep": self.keep} if self.keep else {}
        try:
            with httpx.Client(**Connection(self.url, key, 300).options()) as http:
                answer = http.post("/dicom-web/studies", content=group.body(), headers=headers)
        except httpx.TransportError as error:
            _log.warning("instances.wait", extra={"why": type(error).__name__})
            return None
        if answer.status_code not in {200, 202, 409, 413}:
            _log.warning("instances.wait", extra={"why": f"HTTP {answer.status_code}"})
            return None
        return _done(group, answer)


def _done(group: Group, answer: httpx.Response) -> list[str] | None:
    """What the answer settles, None when the site's inbox is full.

    An instance that it does not name is settled when it travelled alone.
    """
    try:
        found = answer.json()
    except json.JSONDecodeError:
        found = {}
    taken = [_uid(item) for item in _items(found, "00081199")]
    failed = {_uid(item): item for item in _items(found, "00081198")}
    full = [uid for uid, item in failed.items() if item["00081197"]["Value"] == [OUT_OF_RESOURCES]]
    refused = [uid for uid in failed if uid not in full]
    alone = [uid for uid in group.files if len(group.files) == 1 and uid not in full]
    done = sorted({*taken, *refused, *alone} & set(group.files))
    reasons = sorted({item["0040A160"]["Value"][0] for item in failed.values() if "0040A160" in item})
    about = {"sender": group.sender, "status": answer.status_code, "taken": len(taken), "refused": reasons}
    _log.log(logging.WARNING if full else logging.INFO, "instances.forwarded", extra=about)
    return None if full and not done else done


def _items(found: Mapping[str, Any], sequence: str) -> list[Any]:
    return list(found.get(sequence, {}).get("Value", []))


def _uid(item: Mapping[str, Any]) -> str:
    return str(item.get("00081155", {}).get("Value", [""])[0])
