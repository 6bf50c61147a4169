"""Pages are for everybody: screen readers, keyboards, small and large screens, light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from deploy.local.supervisor import LocalSystem
from jobstore import api_keys, sites
from jobstore.api_keys import Scope
from tests.e2e.browser.conftest import Open
from tests.e2e.browser.test_work import drawn, planes
from tests.e2e.service import Service
from tests.integration.gateway.live import serving
from tests.support.hospital import Hospital
from tests.support.provider import Provider

pytestmark = pytest.mark.e2e

PAGES = ("home", "job", "refused", "operations", "model", "problems", "login")
WIDTHS = {"phone": 360, "desk": 1280, "wall": 2560}


@dataclass(frozen=True)
class Places:
    """Where each page is: (address of the gateway, path)."""

    of: dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def places(
    stack: LocalSystem,
    hospital: Hospital,
    answered: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Places]:
    """The running system, and a gateway with sites for what only such a one shows."""
    here = stack.settings.gateway_url
    sphere = refused(here, hospital)
    with (
        Provider(hippocamp_site="north", scope="read submit admin") as provider,
        serving(redis_url, tmp_path_factory.mktemp("sites"), **provider.environment) as guarded,
    ):
        own = {name: (here, f"/{name}") for name in ("operations", "model", "problems")}
        yield Places({
            **own, "home": (here, "/"), "job": (here, answered), "refused": (here, sphere),
            "login": (guarded.url, "/login"),
        })  # fmt: skip


def refused(gateway: str, hospital: Hospital) -> str:
    """Path of the page of a job that the quality gate refused."""
    from tests.unit.preprocessing_service.test_pipeline import phantom, sphere

    answer = httpx.post(
        f"{gateway}/v1/jobs",
        files={"file": phantom(sphere())},
        headers=hospital.headers,
        timeout=90,
        trust_env=False,
    )
    with hospital.http(gateway) as http:
        assert Service(http).finished(answer.json()["id"])["state"] == "failed"
    return str(answer.json()["links"]["page"])


def settle(page: Page, name: str) -> None:
    """Wait until the page has what it asked for."""
    ready = {
        "job": ".verdict", "refused": ".alert.bad", "home": "#jobs a", "operations": "#site-rows th",
    }.get(name, "h1")  # fmt: skip
    expect(page.locator(ready).first).to_be_visible()
    if name == "job":
        planes(page)
        drawn(page, r"cdr\d+")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_no_barrier_and_no_sideways_scrolling(tab: Open, places: Places, name: str, theme: str) -> None:
    base, path = places.of[name]
    page = tab(path, base=base, theme=theme)
    settle(page, name)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    for width in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": 900})
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert beyond == 0, f"{name} at {width} px"


def test_the_keyboard_alone_is_enough(tab: Open, answered: str) -> None:
    page = tab("/")
    expect(page.locator("#jobs a").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    reach(page, "#files")
    reach(page, "#folder")
    reach(page, "#search")
    page.keyboard.type(answered.removeprefix("/jobs/job_")[:10])
    expect(page.locator("#jobs tr")).to_have_count(1)
    reach(page, "#jobs a")
    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_be_visible()
    planes(page)
    reach(page, "[data-plane=axial] canvas")
    drawn(page, r"cdr\d+")
    before = int(str(page.locator("[data-plane=axial] canvas").get_attribute("aria-valuenow")))
    page.keyboard.press("ArrowUp")
    expect(page.locator("[data-plane=axial] canvas")).to_have_attribute("aria-valuenow", str(before + 1))
    reach(page, "input[name=overlay]:checked")
    page.keyboard.press("ArrowRight")
    reach(page, "#outline")
    page.keyboard.press("Space")
    drawn(page, r"\w* ?outline")


def reach(page: Page, what: str) -> None:
    """Press Tab until this has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("(what) => document.activeElement.matches(what)", what):
            return
    pytest.fail(f"{what} cannot be reached by Tab")


def test_a_person_logs_in_at_the_provider(
    tab: Open, redis_client: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    sites.save(redis_client, sites.Site(name="north", requests_per_second=0))
    text, _ = api_keys.issue(redis_client, "north", frozenset(Scope), now_ms=1)
    with (
        Provider(hippocamp_site="north", scope="read") as provider,
        serving(redis_url, tmp_path, **provider.environment) as gateway,
    ):
        page = tab("/model", base=gateway.url)
        page.get_by_role("link", name="Continue to the login page").click()
        page.get_by_role("button", name="Let in").click()
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        assert page.url.endswith("/model")
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("API key").fill(text)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Brain MRI")).to_be_visible()


@pytest.mark.skipif(
    "HIPPOCAMP_PICTURES" not in os.environ, reason="HIPPOCAMP_PICTURES names a folder for them"
)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_pictures_of_the_pages(tab: Open, places: Places, name: str, theme: str, width: str) -> None:
    base, path = places.of[name]
    page = tab(path, base=base, theme=theme, width=WIDTHS[width])
    settle(page, name)
    page.wait_for_timeout(1500)
    page.screenshot(path=f"{os.environ['HIPPOCAMP_PICTURES']}/{name}-{theme}-{width}.png", full_page=True)
