"""From a webhook to the PACS: the outbox tries again until the PACS has stored report and overlay."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from pydicom import Dataset

from client.errors import NotFound, PacsUnavailable
from client.hooks import Event
from client.sync import Client
from pacs.destination import Pacs
from pacs.documents import points_at_input, read_instances
from pacs.study import complete

_log = logging.getLogger("hippocamp.push")
_REMEMBERED = 1024


@dataclass
class Pusher:
    """Pushes every succeeded job's documents once; an instance pushed twice is the same instance.

    unmatched: also store results whose input was no DICOM, in a study of their own without a patient.
    """

    client: Client
    pacs: Pacs
    unmatched: bool = False
    _done: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _one: threading.Lock = field(default_factory=threading.Lock)

    def take(self, event: Event) -> None:
        """Returns once nothing is left to do; HippocampError: the outbox is to send the event again.

        A push that outlives the sender's retry_policy goes on; the next attempt finds it done.
        """
        if event.type != "job.succeeded":
            return
        with self._one:
            if event.job_id not in self._done:
                self._push(event.job_id)
                self._done[event.job_id] = None
            while len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)

    def _push(self, job_id: str) -> None:
        try:
            instances = read_instances(self.client.report(job_id, "dicom"))
        except NotFound:
            _log.info("push.nothing_left", extra={"job": job_id})
            return
        if not points_at_input(instances) and not self.unmatched:
            _log.info("push.no_study", extra={"job": job_id})
            return
        self._complete(instances)
        self.pacs.store(instances)
        _log.info("push.stored", extra={"job": job_id, "instances": len(instances)})

    def _complete(self, instances: list[Dataset]) -> None:
        if not points_at_input(instances):
            return
        study = self.pacs.find_study(str(instances[0].StudyInstanceUID))
        if study is None:
            raise PacsUnavailable("the PACS does not hold the input's study (yet)")
        for one in instances:
            complete(one, study)
