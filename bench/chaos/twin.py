"""A worker on another machine that has this machine's host name: its process cannot be seen from here."""

from __future__ import annotations

import time

from bench.chaos.scaled import DIGEST, prepare
from jobstore.wakeups import celery_app
from jobstore.worker_identity import host_of, place
from preprocessing_service.service import PreprocessingContext, work_once
from preprocessing_service.settings import Settings
from runtime.logs import configure_logging

NAME = f"{host_of(place())}/{'0' * 12}-{place().rpartition('/')[2].partition('-')[2]}/4000001.5"


def main() -> None:
    """Take jobs until the process is told to end."""
    configure_logging("twin")
    settings = Settings()
    desk = PreprocessingContext(settings, celery_app("twin", settings.redis_url), prepare, DIGEST, name=NAME)
    while True:
        if work_once(desk) is None:
            time.sleep(0.1)


if __name__ == "__main__":
    main()
