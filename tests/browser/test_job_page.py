from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browsing import TRAIN, Site
from playwright.sync_api import BrowserContext, Page, expect
from running_jobs import is_running, wait_for

from truss_train_core.local.joblogs import LogWriter

pytestmark = pytest.mark.slow
expect.set_options(timeout=60_000)


def waiting_for(go: Path) -> str:
    return f"import time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.05)\nprint('went on')"


def test_the_page_of_a_running_job_grows_without_a_reload(site: Site, page: Page, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job = site.job(TRAIN.format(last=3, then=waiting_for(go)))
    page.goto(site.url + job)
    page.evaluate("window.isTheSamePage = true")

    expect(page.locator(".badge").first).to_have_text("running")
    expect(page.locator(".lines")).to_contain_text("saved 3")
    expect(page.locator("#curves figure")).to_have_attribute("data-range", "1 to 3")
    expect(page.locator("#checkpoints")).to_contain_text("checkpoint-3")
    expect(page.locator("#machine figure").first).to_be_visible()
    go.touch()
    expect(page.locator(".lines")).to_contain_text("went on")
    expect(page.locator(".badge").first).to_have_text("completed")
    expect(page.locator("#timeline")).to_contain_text("completed")
    assert "completed" in page.title()
    assert page.evaluate("window.isTheSamePage")


def test_a_preempted_and_resumed_run_shows_one_curve(site: Site, page: Page) -> None:
    first = site.job(
        TRAIN.format(last=4, then="time.sleep(600)"), name="digits-0123456789-1",
        compute={"availability_model": "spot"},
    )  # fmt: skip
    page.goto(site.url + first)
    for name in ("checkpoint-3", "checkpoint-4"):  # what is written just before the end does not count as complete
        expect(page.locator("#checkpoints tr", has_text=name)).to_contain_text("complete")
    site.platform.preempt(first.rpartition("/")[2])
    site.became(first, "PREEMPTED")
    reference = {
        "typ": "baseten_named_checkpoint",
        "checkpoint_name": "checkpoint-3",
        "job_id": first.rpartition("/")[2],
    }
    load = {"load_checkpoint_config": {"enabled": True, "checkpoints": [reference]}}
    second = site.job(TRAIN.format(last=8, then=""), name="digits-0123456789-2", runtime=load)

    # The page of the first attempt learns of the second, and its curve goes on.
    curve = page.locator("#curves figure")
    expect(curve).to_have_count(1)
    expect(curve).to_have_attribute("data-range", "1 to 8")
    expect(page.locator("#timeline li.preempted")).to_be_visible()
    page.locator("#timeline").get_by_role("link", name="digits-0123456789-2").click()
    assert page.url == site.url + second
    expect(page.locator("#timeline")).to_contain_text("from checkpoint-3")
    expect(curve).to_have_attribute("data-range", "1 to 8")
    expect(curve).to_have_attribute("data-points", "8")
    expect(curve).to_have_attribute("data-resumes", "3")


def test_stopping_from_the_page_stops_the_processes(site: Site, page: Page, tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    job = site.job(f"echo $$ > {noted}; sleep 600")
    page.goto(site.url + job)
    pid = int(wait_for(lambda: noted.exists() and noted.read_text().strip(), "the job's process", within=60))
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))

    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".badge").first).to_have_text("stopped")
    wait_for(lambda: not is_running(pid), "the end of the job's process", within=60)
    assert asked == [f"Stop {site.look(job)['name']}?"]


def test_a_million_lines_stay_scrollable(site: Site, page: Page, context: BrowserContext) -> None:
    job = site.job("echo first")
    site.became(job, "COMPLETED")
    writer = LogWriter(site.platform.data_dir / "jobs" / job.rpartition("/")[2], 0)
    for thousand in range(1000):
        writer.output([f"INFO step {thousand * 1000 + number} loss 0.5" for number in range(1000)])
    writer.close()
    page.goto(site.url + job)
    lines = page.locator(".lines")
    expect(lines).to_contain_text("step 999999 loss")
    expect(page.locator("[data-log=count]")).to_contain_text("1,000,0")

    frames = page.evaluate(SCROLL_THROUGH)
    devtools = context.new_cdp_session(page)
    devtools.send("HeapProfiler.collectGarbage")
    devtools.send("Performance.enable")
    metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
    frames.sort()
    median, slow = frames[len(frames) // 2], frames[len(frames) * 99 // 100]
    print(f"\n1,000,000 lines: {metrics['JSHeapUsedSize'] / 2**20:.1f} MiB of JavaScript, {metrics['Nodes']:.0f} nodes")  # noqa: T201
    print(f"scrolling: median frame {median:.1f} ms, 99th percentile {slow:.1f} ms")  # noqa: T201
    assert page.locator(".lines [data-place]").count() < 100
    page.evaluate("document.querySelector('.lines').scrollTop = 0")
    expect(lines).to_contain_text("first")

    page.get_by_label("Search the log").fill("STEP 777777 ")
    expect(page.locator("[data-log=count]")).to_contain_text("1 of")
    page.locator(".lines mark").click()
    expect(lines).to_contain_text("step 777776 loss")  # it shows where the line stands
    lines.press("End")
    expect(lines).to_contain_text("step 999999 loss")


SCROLL_THROUGH = """async () => {
    const lines = document.querySelector(".lines");
    const frames = [];
    let last = performance.now();
    for (let step = 0; step < 300; step += 1) {
        lines.scrollTop = (step * 7919 % 300) / 300 * lines.scrollHeight + step * 61;
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        frames.push(now - last);
        last = now;
    }
    return frames;
}"""


@contextmanager
def another_origin(page: str) -> Iterator[str]:
    """A server on another port of this host: the same site to a browser, so that it sends its cookies along."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_page_of_another_origin_can_do_nothing(site: Site, context: BrowserContext) -> None:
    job = site.job("sleep 600")
    site.became(job, "RUNNING")
    target = site.url + job
    attack = f"""<!doctype html><iframe src="{target}"></iframe>
        <form method="post" action="{target}/stop" target="there"></form><iframe name="there"></iframe>
        <script src="{target}/lines"></script>"""
    page = context.new_page()
    with another_origin(attack) as origin:
        page.goto(origin)
        done = page.evaluate(ATTACKS, target)
        page.wait_for_timeout(500)
        frames = [frame.url for frame in page.frames[1:]]

    assert set(done.values()) == {"refused"}, done
    assert not any(url.startswith(site.url) for url in frames), frames
    assert site.look(job)["current_status"] == "TRAINING_JOB_RUNNING"


ATTACKS = """async (target) => {
    const refused = (promise) => promise.then(() => "done", () => "refused");
    const options = { credentials: "include" };
    const opens = (source) => new Promise((resolve) => {
        source.onopen = () => resolve("done");
        source.onerror = () => resolve("refused");
    });
    const simple = { ...options, method: "POST", body: "{}" };
    document.forms[0].submit();
    await refused(fetch(`${target}/stop`, { ...simple, mode: "no-cors" }));  // it is sent, and must do nothing
    const opened = window.open(target);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    let seen = "refused";
    try { if (opened && opened.document.body.innerText) seen = "done"; } catch { seen = "refused"; }
    opened?.close();
    return {
        stop: await refused(fetch(`${target}/stop`, simple)),
        stopWithHeader: await refused(fetch(`${target}/stop`, { ...simple, headers: { "X-Page-Token": "x" } })),
        read: await refused(fetch(target, options)),
        lines: await refused(fetch(`${target}/lines`, options)),
        events: await opens(new EventSource(`${target}/events`, { withCredentials: true })),
        window: seen,
    };
}"""
