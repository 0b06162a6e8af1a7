"""The dashboard, in a real browser: a canary that is rolled back is seen on the page."""

import json
import re
import shutil
from pathlib import Path

import aiohttp
import pytest

from ...shell import run
from ..traffic import Traffic
from ..waiting import until

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: `apt-get install chromium`")


async def states(http, count):
    """The next states of the stream."""
    found = []
    async with http.get("/ui/stream", timeout=aiohttp.ClientTimeout(total=30)) as answer:
        assert answer.status == 200
        kind = ""
        async for line in answer.content:
            if line.startswith(b"event: "):
                kind = line[7:].strip()
            elif line.startswith(b"data: ") and kind == b"state":
                found.append(json.loads(line[6:]))
                if len(found) == count:
                    return found
    return found


async def test_the_page_loads_nothing_from_elsewhere(http):
    async with http.get("/ui") as answer:
        page = await answer.text()
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "http://" not in page
    assert "https://" not in page
    for name in ("dashboard.css", "dashboard.js", "charts.js"):
        assert f"/ui/files/{name}" in page
        async with http.get(f"/ui/files/{name}") as answer:
            assert answer.status == 200
    async with http.get("/ui/files/secrets.txt") as answer:
        assert answer.status == 404


async def test_the_state_goes_on_coming_and_knows_models_and_replicas(http, forest):
    first, second = await states(http, 2)
    assert second["at"] > first["at"]
    assert forest in {model["name"] for model in second["models"]}
    assert {replica["role"] for replica in second["replicas"]} >= {"router", "worker", "control"}


def test_top_shows_the_same_in_a_terminal(mesh, forest):
    done = run("top", "--url", mesh.url, "--once")
    assert done.exit_code == 0, done.output
    assert forest in done.output
    state = json.loads(run("top", "--url", mesh.url, "--json").output)
    assert forest in {model["name"] for model in state["models"]}


@pytest.fixture(scope="module")
async def page(mesh):
    playwright = pytest.importorskip("playwright.async_api")
    async with playwright.async_playwright() as started:
        browser = await started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = await browser.new_page(viewport={"width": 1280, "height": 900})
        opened.wrong = []
        opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
        opened.on("console", lambda line: opened.wrong.append(line.text) if line.type == "error" else None)
        await opened.goto(f"{mesh.url}/ui")
        yield opened
        await browser.close()


@pytest.fixture
def pictures(request, tmp_path):
    kept = Path(__file__).parents[3] / "docs" / "pictures"
    return kept if request.config.getoption("--pictures") else tmp_path


@needs_browser
async def test_a_canary_that_is_rolled_back_is_seen_on_the_page(page, pictures, sdk, kafka_client, register):
    from playwright.async_api import expect

    model = await register("seen-canary", {"fails": True})
    card = page.locator(f'article[data-model="{model}"]')
    await card.wait_for()
    traffic = Traffic(kafka_client, model)
    async with traffic.flowing():
        await traffic.more(50)
        await sdk.create_canary(model, "2.0.0", 50)
        await card.locator(".strategy", has_text="canary").wait_for()
        await card.locator("figcaption", has_text="evidence against the candidate").wait_for()
        # Both lines are drawn and both versions answer: the rate is above 0 for each.
        for row in (0, 1):
            cell = card.locator("tbody tr").nth(row).locator("td").nth(2)
            await expect(cell).not_to_have_text("0.0")
        await expect(page.locator("#replicas .rate").filter(has_text=re.compile("[1-9]")).first).to_be_visible()
        await expect(card.locator("polyline.s1").first).to_be_attached()
        await page.screenshot(path=str(pictures / "canary.png"))
        traffic.flagged = 0.5
        await page.locator('#events li[data-kind="canary.rolled_back"]', has_text=model).wait_for()
    await card.locator(".strategy", has_text="full").wait_for()
    await page.screenshot(path=str(pictures / "rolled-back.png"))
    assert page.wrong == []


@needs_browser
async def test_a_button_rolls_a_canary_back(page, sdk, register):
    model = await register("button-canary", {})
    await sdk.create_canary(model, "2.0.0", 10)
    button = page.locator(f'article[data-model="{model}"] button', has_text="Roll back")
    await button.wait_for()
    await button.focus()
    await page.keyboard.press("Enter")

    async def rolled_back():
        return any(event["kind"] == "canary.rolled_back" for event in await sdk.history(model))

    await until(rolled_back, "the canary is rolled back by the button")


@needs_browser
async def test_it_fits_a_phone(page):
    await page.set_viewport_size({"width": 375, "height": 700})
    try:
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 375
    finally:
        await page.set_viewport_size({"width": 1280, "height": 900})


@needs_browser
async def test_a_request_is_looked_up_by_its_id(page, kafka_client, forest, cancer, http):
    await kafka_client.predict(forest, cancer[0][0].tolist(), request_id="seen-on-the-page")

    async def written():
        async with http.get("/inference-log/seen-on-the-page") as answer:
            return answer.status == 200 and (await answer.json())["status"] == 200

    await until(written, "the request is in the log")
    await page.fill("#request-id", "seen-on-the-page")
    await page.press("#request-id", "Enter")
    await page.locator("#log", has_text=f"modelmesh.model.{forest}").wait_for()
    async with http.get("/inference-log/seen-on-the-page/records") as answer:
        records = (await answer.json())["records"]
    assert [record["topic"] for record in records] == [
        "modelmesh.requests",
        f"modelmesh.model.{forest}",
        "modelmesh.replies",
    ]
    assert records[0]["value"]["inputs"] == cancer[0][0].tolist()
    assert records[2]["headers"]["mm-status"] == "200"
