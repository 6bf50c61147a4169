"""A real Chromium on the running system; whatever a page complains about fails its test."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from deploy.local.supervisor import LocalSystem
from tests.debian import program
from tests.support.hospital import Hospital

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader",
)  # fmt: skip
PATIENCE_MS = 180_000
"""For a machine that does other things as well."""
expect.set_options(timeout=PATIENCE_MS)

Open = Callable[..., Page]


@pytest.fixture(scope="module")  # Playwright's event loop runs in this thread: nobody after us may meet it
def chromium() -> Iterator[Browser]:
    path = program("chromium", package="chromium")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(FLAGS), timeout=PATIENCE_MS)
        yield browser
        browser.close()


def log_in(context: BrowserContext, hospital: Hospital) -> None:
    """As somebody of the hospital does, with its key."""
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("API key").fill(hospital.key)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Brain MRI").wait_for()
    page.close()


@pytest.fixture
def tab(chromium: Browser, stack: LocalSystem, hospital: Hospital) -> Iterator[Open]:
    """Open a window of its own: `tab("/", width=360, theme="dark")`; logged in unless `base` is another."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        lost = "Failed to load resource" in message.text or "net::ERR" in message.text
        if message.type == "error" and not lost:
            complaints.append(message.text)

    def open_tab(path: str = "/", *, width: int = 1280, theme: str = "light", base: str = "") -> Page:
        context = chromium.new_context(
            base_url=base or stack.settings.gateway_url,
            viewport={"width": width, "height": 800},
            color_scheme="dark" if theme == "dark" else "light",
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        if base in {"", stack.settings.gateway_url}:
            log_in(context, hospital)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def fresh(volume: Path, tmp_path: Path) -> Callable[[str], Path]:
    """The real head as bytes that no site has sent before: its voxels packed anew, under another time."""

    def make(name: str = "head.nii.gz") -> Path:
        data = volume.read_bytes()
        path = tmp_path / name
        with path.open("wb") as file:
            file.write(gzip.compress(gzip.decompress(data), 1, mtime=int.from_bytes(os.urandom(3), "big")))
        return path

    return make


@pytest.fixture(scope="module")
def answered(chromium: Browser, stack: LocalSystem, hospital: Hospital, volume: Path) -> str:
    """Path of the page of a job that has its result."""
    context = chromium.new_context(base_url=stack.settings.gateway_url)
    context.set_default_timeout(PATIENCE_MS)
    log_in(context, hospital)
    page = context.new_page()
    page.goto("/")
    page.locator("#files").set_input_files(volume)
    link = page.locator("#uploads li", has=page.locator(".chip.good")).locator("a")
    path = str(link.get_attribute("href"))
    context.close()
    return path
