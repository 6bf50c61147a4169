"""Which models may answer: the release beside us, and what the operator names."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_store.release.digest import RELEASE, model_digest
from runtime.known_models import digest_in, known_models
from runtime.settings import SettingError


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HIPPOCAMP_MODELS", "HIPPOCAMP_MODEL_MANIFEST"):
        monkeypatch.delenv(name, raising=False)


def test_the_release_is_known_and_what_is_named_joins_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_models() == {model_digest()} == {digest_in(RELEASE)}
    monkeypatch.setenv("HIPPOCAMP_MODELS", f"{'a' * 64}, {'b' * 64}")
    assert known_models() == {model_digest(), "a" * 64, "b" * 64}


def test_without_the_release_only_what_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIPPOCAMP_MODEL_MANIFEST", str(tmp_path / "none.json"))
    with pytest.raises(SettingError, match="No model is known"):
        known_models()
    monkeypatch.setenv("HIPPOCAMP_MODELS", "a" * 64)
    assert known_models() == {"a" * 64}


@pytest.mark.parametrize("text", ["[]", "{", '{"files": 3}', "{}"])
def test_nonsense_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(text)
    monkeypatch.setenv("HIPPOCAMP_MODEL_MANIFEST", str(manifest))
    with pytest.raises(SettingError, match="no release's manifest"):
        known_models()
    monkeypatch.setenv("HIPPOCAMP_MODELS", "abc")
    with pytest.raises(SettingError, match="64 hexadecimal"):
        known_models()
