"""The digest that names exactly this pipeline: its sources, weights, template and parameters."""

from __future__ import annotations


def pipeline_digest() -> str:
    """SHA-256 (64 hex digits) of everything that decides what `prepare` returns."""
    raise NotImplementedError
