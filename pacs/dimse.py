"""A PACS that speaks DIMSE: C-FIND to find the study, C-STORE to store (PS3.4, C and B)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from client.errors import PacsRefused, PacsUnavailable
from pacs.study import query

_SECONDS = 30.0
_SUCCESS, _OUT_OF_RESOURCES = 0x0000, 0xA700
_PENDING = frozenset({0xFF00, 0xFF01})
_COERCED = frozenset({0xB000, 0xB006, 0xB007})
"""Stored with a warning: elements were coerced or discarded (PS3.4, table B.2-1)."""


@dataclass(frozen=True)
class DimsePacs:
    """`title`: the PACS's AE title; `calling`: ours, as the PACS knows it."""

    title: str
    host: str
    port: int
    calling: str

    def find_study(self, uid: str) -> Dataset | None:
        """The study's attributes as the PACS has them, None when it has no such study."""
        model = StudyRootQueryRetrieveInformationModelFind
        with self._associated([(model, None)]) as association:
            found = None
            for status, identifier in association.send_c_find(query(uid), model):
                code = _status(status)
                if code in _PENDING:
                    found = found or identifier
                elif code != _SUCCESS:
                    raise PacsUnavailable(f"the PACS ended the query with status 0x{code:04X}")
            return found

    def store(self, instances: Sequence[Dataset]) -> None:
        """Store all of them; an instance that is there already counts as stored."""
        contexts = [(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in instances]
        with self._associated(contexts) as association:
            for one in instances:
                code = _status(association.send_c_store(one))
                if code & 0xFF00 == _OUT_OF_RESOURCES:
                    raise PacsUnavailable(f"the PACS has no room: status 0x{code:04X}")
                if code != _SUCCESS and code not in _COERCED:
                    raise PacsRefused(f"the PACS refused an instance: status 0x{code:04X}")

    @contextmanager
    def _associated(self, contexts: Sequence[tuple[Any, Any]]) -> Iterator[Any]:
        entity = AE(ae_title=self.calling)
        entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = _SECONDS
        entity.connection_timeout = _SECONDS
        for abstract, transfer in contexts:
            entity.add_requested_context(abstract, *([transfer] if transfer else []))
        association = entity.associate(self.host, self.port, ae_title=self.title)
        if not association.is_established:
            why = "it rejects us; is our AE title known to it?" if association.is_rejected else "no answer"
            raise PacsUnavailable(f"{self.title}@{self.host}:{self.port}: {why}")
        try:
            if len(association.accepted_contexts) < len(set(contexts)):
                raise PacsRefused(f"{self.title} does not take every kind of instance we send")
            yield association
        finally:
            association.release()


def _status(answer: Dataset) -> int:
    """The status code; PacsUnavailable when the connection broke before one came."""
    if "Status" not in answer:
        raise PacsUnavailable("the connection to the PACS broke")
    return int(answer.Status)
