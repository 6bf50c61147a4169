"""What the preprocessing consumer reads from the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir

from runtime.settings import Shared, env_count, env_folder, env_number


@dataclass(frozen=True)
class Settings(Shared):
    """Shared settings plus the limits of one job.

    job_seconds: a job that takes longer is killed with its process; the job store gives it two more attempts.
    cpu_seconds: computing time after which a job is refused as too large; 0 sets no limit.
    memory_bytes: private memory one process may have; 0 sets no limit.
    stop_seconds: time a running job gets to finish after SIGTERM.
    scratch: folder for unpacked uploads and copies from a remote store.
    """

    job_seconds: float = field(
        default_factory=lambda: env_number("PREPROCESS_SECONDS", 120, least=3, most=3600)
    )
    cpu_seconds: float = field(default_factory=lambda: env_number("PREPROCESS_CPU_SECONDS", 60, most=3600))
    memory_bytes: int = field(default_factory=lambda: env_count("PREPROCESS_MEMORY_BYTES", 4 * 2**30))
    stop_seconds: float = field(default_factory=lambda: env_number("STOP_SECONDS", 8, least=0, most=600))
    scratch: Path = field(default_factory=lambda: env_folder("SCRATCH", gettempdir()))
