"""Pushing results back to a PACS: find the study there, complete our instances from it, store them."""

from __future__ import annotations

from pacs.destination import Pacs, open_pacs
from pacs.push import Pusher

__all__ = ["Pacs", "Pusher", "open_pacs"]
