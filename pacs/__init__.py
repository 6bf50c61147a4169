"""Both ways between Hippocamp and a PACS: C-STORE in (listener.py), results out (push.py)."""

from __future__ import annotations

from pacs.destination import Pacs, open_pacs
from pacs.push import Pusher

__all__ = ["Pacs", "Pusher", "open_pacs"]
