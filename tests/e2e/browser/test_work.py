"""What people do on the pages: send, watch, look, find; also when the line breaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Page, expect

from jobstore import heartbeats
from tests.e2e.browser.conftest import Open
from tests.e2e.service import Service
from tests.integration.gateway.live import serving

pytestmark = pytest.mark.e2e

_COLOURED = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let coloured = 0, bright = 0;
  for (let n = 0; n < data.length; n += 4) {
    const [r, g, b] = data.subarray(n, n + 3);
    if (Math.max(r, g, b) - Math.min(r, g, b) > 40) coloured += 1;
    bright += data[n + 1];
  }
  return [coloured, bright];
}"""


def canvas(page: Page, plane: str) -> tuple[int, int]:
    """Coloured pixels and the sum of brightness of a plane as it is drawn."""
    coloured, bright = page.locator(f"[data-plane={plane}] canvas").evaluate(_COLOURED)
    return int(coloured), int(bright)


def drawn(page: Page, layers: str) -> None:
    """Wait until the axial plane shows exactly these layers."""
    spot = page.locator("[data-plane=axial] canvas")
    expect(spot).to_have_attribute("data-drawn", re.compile(rf"^\d+{' ' if layers else ''}{layers}$"))


def planes(page: Page) -> None:
    """Show the planes, whichever view came first."""
    if page.locator("#modes").is_visible():
        page.get_by_text("Planes", exact=True).click()


def test_upload_to_overlay(tab: Open, fresh: Callable[..., Path]) -> None:
    page = tab("/")
    page.get_by_text("Age, sex, education, MMSE").click()
    page.get_by_label("MMSE, points").fill("31")
    page.locator("#files").set_input_files(fresh("mine.nii.gz"))
    expect(page.locator("#tally")).to_contain_text("nothing was sent")
    page.get_by_label("MMSE, points").fill("27")
    page.get_by_label("Sex").select_option("F")
    page.locator("#files").set_input_files(fresh("mine.nii.gz"))
    expect(page.get_by_label("MMSE, points")).to_have_value("")
    sent = page.locator("#uploads li")
    expect(sent).to_contain_text("mine.nii.gz")
    expect(sent.locator(".chip")).to_have_text("done")
    sent.get_by_role("link").click()
    expect(page.locator(".verdict")).to_be_visible()
    expect(page.locator("#bars .bar")).to_have_count(3)
    expect(page.locator("#clinical")).to_contain_text("With what was told (woman, MMSE 27)")
    expect(page.locator(".set .chip")).to_have_count(3)
    expect(page.get_by_text("mine.nii.gz")).to_be_visible()  # told by this tab alone
    planes(page)
    page.locator("#cross").uncheck()
    page.get_by_text("none", exact=True).click()
    drawn(page, "")
    plain = canvas(page, "axial")
    assert plain[0] == 0
    assert plain[1] > 100_000
    page.locator("#outline").check()
    drawn(page, "outline")
    assert canvas(page, "axial")[0] > 100
    page.locator("#outline").uncheck()
    painted = []
    for key in ("cdr0", "cdr05", "cdr1"):
        page.locator(f"input[value={key}]").check(force=True)
        drawn(page, key)
        painted.append(canvas(page, "axial")[0])
    assert max(painted) > 500
    page.get_by_text("none", exact=True).click()
    drawn(page, "")
    page.locator("#level").fill("200")
    expect(page.locator("#level")).to_have_value("200")
    darker = f"(spot) => ({_COLOURED})(spot)[1] < {plain[1]}"
    page.wait_for_function(darker, arg=page.locator("[data-plane=axial] canvas").element_handle())
    brain = page.request.get(str(page.get_by_role("link", name="Brain (NIfTI)").get_attribute("href")))
    assert brain.body()[:2] == b"\x1f\x8b"


def test_the_answer_says_what_the_result_says(tab: Open, answered: str, service: Service) -> None:
    result = service.http.get(f"/v1{answered}/result").json()
    page = tab(answered)
    shown = page.locator(".verdict")
    expect(shown).to_be_visible()
    sure = len(result["prediction_set"]) == 1
    expect(shown).to_contain_text(
        re.compile("Uncertain|not certain" if not sure else "outside the 90 % prediction set")
    )
    expect(page.locator(".set .out")).to_have_count(3 - len(result["prediction_set"]))
    share = round(100 * max(result["probabilities"].values()))
    expect(page.locator(".bar.top-one strong")).to_have_text(f"{share} %")
    odd = result["out_of_distribution"] > 1
    expect(page.locator("#unusual .alert")).to_contain_text("Do not rely" if odd else "resembles")
    expect(page.get_by_role("note").or_(page.locator(".notice"))).to_contain_text("Research use only")


def test_a_folder_with_a_file_that_is_refused(tab: Open, tmp_path: Path, volume: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "notes.txt").write_text("no head at all")
    (tmp_path / "study" / "empty.nii").write_text("")
    (tmp_path / "study" / "again.nii.gz").write_bytes(volume.read_bytes())
    page = tab("/")
    page.locator("#folder").set_input_files(tmp_path / "study")
    refused = page.locator("#uploads li", has_text="notes.txt")
    expect(refused.locator(".chip")).to_have_text("refused")
    expect(refused.locator(".says")).not_to_be_empty()
    expect(page.locator("#uploads li", has_text="study/again.nii.gz").locator(".chip")).to_have_text("done")
    expect(page.locator("#uploads li", has_text="empty.nii")).to_contain_text("The file is empty")
    expect(page.locator("#tally")).to_contain_text("3 files: 1 done, 2 refused")


def test_two_browsers_at_once(tab: Open, fresh: Callable[..., Path]) -> None:
    pages = [tab("/"), tab("/", theme="dark")]
    for n, page in enumerate(pages):
        page.locator("#files").set_input_files(fresh(f"head{n}.nii.gz"))
    opened = []
    for page in pages:
        expect(page.locator("#uploads .chip")).to_have_text("done")
        opened.append(page.locator("#uploads a").get_attribute("href"))
    assert opened[0] != opened[1]
    expect(pages[0].locator(f'#jobs a[href="{opened[1]}"]')).to_be_visible()  # one site, one list
    expect(pages[0].locator(".under", has_text="head1")).to_have_count(0)  # but no name from another tab


def test_a_lost_connection_loses_nothing(tab: Open, fresh: Callable[..., Path], service: Service) -> None:
    def jobs() -> int:
        return len(service.http.get("/v1/jobs?limit=200").json()["jobs"])

    page, before = tab("/"), jobs()
    page.context.set_offline(True)
    page.locator("#files").set_input_files(fresh())
    expect(page.locator("#uploads .chip")).to_have_text("waiting to send again")
    page.context.set_offline(False)
    expect(page.locator("#uploads .chip")).to_have_text("done")
    assert jobs() == before + 1


def test_a_broken_stream_is_taken_up_again(tab: Open, fresh: Callable[..., Path]) -> None:
    page = tab("/")
    page.route("**/events", lambda route: route.abort())
    page.locator("#files").set_input_files(fresh())
    expect(page.locator("#uploads .says")).to_contain_text("Connection lost")
    page.unroute("**/events")
    expect(page.locator("#uploads .chip")).to_have_text("done")


def test_the_list_filters_searches_and_pages(tab: Open, answered: str) -> None:
    page, name = tab("/"), answered.removeprefix("/jobs/job_")
    rows = page.locator("#jobs tr")
    expect(rows.get_by_role("link").first).to_be_visible()  # the page is at work
    page.get_by_label("Search").fill(name[:12])
    expect(rows).to_have_count(1)
    expect(rows.get_by_role("link")).to_have_attribute("href", answered)
    page.get_by_label("State").last.select_option("failed")
    expect(rows).to_contain_text("No job is like this")
    page.get_by_label("State").last.select_option("succeeded")
    expect(rows).to_contain_text(name[:8])
    expect(page.get_by_role("button", name="Newer")).to_be_disabled()


def test_a_site_watches_its_own_work(tab: Open, answered: str) -> None:
    page = tab("/operations")
    expect(page.locator("#site-rows tr")).to_have_count(1)
    expect(page.locator("#site-rows tr")).to_contain_text("north")
    expect(page.locator(".plot svg")).to_have_count(4)
    expect(page.get_by_text("These are the figures of your own site.")).to_be_visible()
    expect(page.locator("#worker-rows")).to_have_count(0)


def test_who_runs_it_alone_watches_everything(
    tab: Open, redis_client: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    """Open mode: a machine without sites shows its only user the workers too."""
    heartbeats.tell(redis_client, lambda now: heartbeats.Pool("infer@here", ("infer",), 2, now, now))
    with serving(redis_url, tmp_path) as gateway:
        page = tab("/operations", base=gateway.url)
        expect(page.locator("#worker-rows tr").first).to_contain_text("infer@here")
        workers = page.locator(".tile", has=page.get_by_text("Workers", exact=True))
        expect(workers).to_contain_text("all heard lately")


def test_the_volume_view_where_it_was_built(tab: Open, answered: str) -> None:
    page = tab(answered)
    expect(page.locator(".verdict")).to_be_visible()
    if not page.locator("#modes").is_visible():
        drawn(page, r"cdr\d+")  # `make viewer` was not run, or there is no WebGL 2: the planes serve
        return
    expect(page.locator("#gl")).to_have_attribute("data-drawn", re.compile(r"^volume cdr\d+$"))
    page.locator("#outline").check()
    expect(page.locator("#gl")).to_have_attribute("data-drawn", re.compile(r"outline$"))
