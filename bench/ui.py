"""How the page feels in a real browser: until it can be used, tab changes, clicks, requests at rest, photos in, and the first picture.

The library holds 20 characters and 1,000 pictures; beside it stand an empty studio, and for photos a bare Pillow loop in the same run.
"""

from __future__ import annotations

import argparse
import http.client
import io
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import ExifTags, Image
from playwright.sync_api import Browser, Page

from bench.gallery import fill, picture_id
from bench.rig import Running, percentile, running_studio, table
from studio import metadata
from studio.db import migrate, open_database
from tests.browser.browsing import DESKTOP, PROMPT, every_control, open_browser, usable

CHARACTERS, PICTURES = 20, 1_000
TABS = ("setup", "characters", "train", "generate", "gallery", "analytics")
PHOTO = (4000, 3000)
AT_ONCE = 8
SLOW = {"steps": 150, "width": 192, "height": 192}

# Whether somebody could begin: the form with everyone in it, and what is being made.
USABLE = """(people) => document.querySelector('#make') && document.querySelector('likeness-cards input')
    && document.querySelectorAll('#field-character input[type=radio]').length > people
    && !['', 'wait'].includes(document.querySelector('likeness-stage .easel')?.dataset.scene ?? '')"""
# Whether what a tab is for can be seen; Setup's check-up takes its own time and says so.
# Pictures count when every one within the window has been decoded.
SEEN = """{
    setup: () => shown('[data-setting] input') && ['engine', 'places'].every((one) => document.querySelector(`likeness-setup .${one}`)),
    characters: () => shown('.person-card:not(.ghost)') && drawn('.person-card img'),
    train: () => shown('.train-empty, .train-new'),
    generate: () => shown('#make') && shown('likeness-stage .easel'),
    gallery: () => shown('likeness-gallery .cell img') && drawn('likeness-gallery .cell img'),
    analytics: () => shown('.analytics-card') && ['days', 'characters', 'presets'].every((name) => shown(`#analytics-${name} .bars path`)),
}"""
CHANGE = (
    """(tab) => (window.change = new Promise((resolve, reject) => {
    const visible = (one) => {
        const box = one.getBoundingClientRect();
        return box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight;
    };
    const within = (what) => [...document.querySelectorAll(what)].filter(visible);
    const shown = (what) => within(what).length > 0;
    const drawn = (what) => within(what).every((one) => one.complete && one.naturalWidth > 0);
    const seen = """
    + SEEN
    + """;
    // When the hand clicked, also where the page could not answer at once.
    let begun = 0;
    const armed = performance.now();
    addEventListener('click', (event) => (begun = event.timeStamp), { capture: true, once: true });
    const look = () => {
        if (performance.now() - armed > 30000) return reject(new Error(tab + ' was not drawn'));
        if (!begun || !seen[tab]()) return requestAnimationFrame(look);
        // A task behind a frame's callbacks runs once that frame was painted.
        const channel = new MessageChannel();
        channel.port1.onmessage = () => resolve(performance.now() - begun);
        requestAnimationFrame(() => channel.port2.postMessage(0));
    };
    look();
})) && null"""
)
GENERATE = """() => new Promise((resolve) => {
    document.querySelectorAll('#toasts .toast').forEach((one) => one.remove());
    const begun = performance.now();
    const watcher = new MutationObserver(() => {
        const toast = document.querySelector('#toasts .toast');
        if (!toast) return;
        watcher.disconnect();
        requestAnimationFrame(() => resolve([performance.now() - begun, toast.innerText]));
    });
    watcher.observe(document.body, { childList: true, subtree: true });
    document.querySelector('#make').click();
})"""
COUNT_CLICKS = "window.clicks = 0; addEventListener('click', (event) => event.isTrusted && (window.clicks += 1), true);"


def main() -> None:
    parts: dict[str, Callable[[Browser, argparse.Namespace], None]] = {
        "page": page_usable,
        "tabs": tab_changes,
        "click": click_to_toast,
        "idle": requests_at_rest,
        "photos": photos_in,
        "first": first_picture,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), help="the parts to run")
    parser.add_argument("--rounds", type=int, default=5, help="fresh browsers, and fresh pages whose tabs are opened")
    parser.add_argument("--clicks", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20, help="how long each tab rests")
    parser.add_argument("--photos", type=int, default=50, help="how many in each of four turns")
    args = parser.parse_args()
    with open_browser() as browser:
        for name in args.only:
            parts[name](browser, args)


# What is measured


def page_usable(browser: Browser, args: argparse.Namespace) -> None:
    """From the first byte until somebody could begin."""
    with tempfile.TemporaryDirectory() as folder, empty_studio(Path(folder) / "data", browser) as studio:
        empty = [arrive(browser, studio, people=0) for _ in range(args.rounds)]
    with full_studio() as studio:
        full = [arrive(browser, studio, people=CHARACTERS) for _ in range(args.rounds)]
    a, b = statistics.median(empty), statistics.median(full)
    table(
        f"First byte → page usable (seconds, median of {args.rounds} fresh browsers)",
        [
            ("an empty studio", f"{a:.2f}   ({listed(empty)})"),
            (f"{CHARACTERS} characters, {PICTURES:,} pictures", f"{b:.2f}   ({listed(full)}; wanted: at most 3)"),
            ("full ÷ empty", f"{b / a:.2f}"),
        ],
    )


def tab_changes(browser: Browser, args: argparse.Namespace) -> None:
    """From a click on a tab until what it is for was painted: the first visit on each of several fresh pages, and later ones."""
    firsts: dict[str, list[float]] = {tab: [] for tab in TABS}
    later: dict[str, list[float]] = {tab: [] for tab in TABS}
    with full_studio() as studio:
        for _ in range(args.rounds):
            with visit(browser, studio) as page:
                for times in (firsts, later):
                    for tab in TABS:
                        times[tab].append(change(page, tab))
                        page.wait_for_timeout(700)
    rows = [
        (tab, f"{statistics.median(later[tab]):4.0f}   first visits {statistics.median(firsts[tab]):4.0f} ({listed(firsts[tab], 0)})")
        for tab in TABS
    ]
    every = [took for times in (firsts, later) for tab in TABS for took in times[tab]]
    rows.append(("all of them", f"p50 {statistics.median(every):.0f} · p95 {percentile(every, 0.95):.0f}   (wanted: at most 300)"))
    table(f"Click on a tab → its content painted (milliseconds, median of {args.rounds} fresh pages)", rows)


def change(page: Page, tab: str) -> float:
    """Milliseconds of a change to this tab by a mouse, which goes there in a quarter of a second."""
    page.evaluate(CHANGE, tab)
    goal = page.locator(f'#tabs [role=tab][data-tab-id="{tab}"]').bounding_box()
    if goal is None:
        raise RuntimeError(f"{tab} is not in the window")
    x, y = goal["x"] + goal["width"] / 2, goal["y"] + goal["height"] / 2
    for left in (60, 40, 20, 10, 0):
        page.mouse.move(x - left, y + left)
        page.wait_for_timeout(50)
    page.mouse.click(x, y)
    return page.evaluate("window.change")


def click_to_toast(browser: Browser, args: argparse.Namespace) -> None:
    """From a click on Generate until the page says that the picture is on the way."""
    with full_studio() as studio, visit(browser, studio) as page:
        page.get_by_label("Prompt", exact=True).fill(PROMPT)
        every_control(page)
        page.locator("#advanced").get_by_role("button", name="More settings").click()
        for field, value in SLOW.items():
            page.locator(f"#field-{field} input").fill(str(value))
        times = []
        for _ in range(args.clicks):
            page.wait_for_timeout(500)
            took, said = page.evaluate(GENERATE)
            if "on the way" not in said:
                raise RuntimeError(said)
            times.append(took)
            studio.post("jobs/cancel", {})
    spread = f"p50 {statistics.median(times):.0f} · p95 {percentile(times, 0.95):.0f} · max {max(times):.0f}   (wanted: at most 200)"
    table(f"Click on Generate → toast (milliseconds, {args.clicks} times)", [("a library of 1,000 pictures", spread)])


def requests_at_rest(browser: Browser, args: argparse.Namespace) -> None:
    """Requests that a page causes which nobody touches. A stream of events is one request."""
    rows = []
    with full_studio() as studio, visit(browser, studio) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(urlsplit(request.url).path) if request.url.startswith("http") else None)
        for tab in TABS:
            change(page, tab)
            page.wait_for_timeout(3_000)
            asked.clear()
            page.wait_for_timeout(args.seconds * 1000)
            what = ", ".join(f"{asked.count(path)} × {path}" for path in dict.fromkeys(asked))
            rows.append((tab, f"{len(asked) / args.seconds:.2f}   (wanted: at most 1){f'   {what}' if what else ''}"))
    table(f"Requests a second of a page at rest ({args.seconds:.0f} s on each tab)", rows)


def photos_in(_browser: Browser, args: argparse.Namespace) -> None:
    """Photos as a phone takes them into a character, beside Pillow decoding the same files and making the same thumbnails."""
    with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder) / "data") as studio:
        files = list(photos(Path(folder), args.photos))
        megabytes = sum(file.stat().st_size for file in files) / len(files) / 1e6
        bare, ours = [], []
        for turn in range(2):
            bare.append(len(files) / timed(lambda: by_pillow(files)))
            ours.append(len(files) / timed(lambda turn=turn: by_studio(studio, f"Import {turn}", files)))
        turned = list(photos(Path(folder), AT_ONCE, orientation=6))
        upright = len(turned) / timed(lambda: by_studio(studio, "Turned", turned))
    ratio = statistics.median(ours) / statistics.median(bare)
    table(
        f"{args.photos} photos of {PHOTO[0] * PHOTO[1] / 1e6:.0f} megapixels, {megabytes:.1f} MB each (photos a second, twice in turn)",
        [
            ("a bare Pillow loop", listed(bare)),
            (f"into a character, {AT_ONCE} a request", listed(ours)),
            ("into a character ÷ bare", f"{ratio:.2f}   (wanted: at least 0.8)"),
            ("photos that lie on their side, turned upright", f"{upright:.2f}"),
        ],
    )


def first_picture(browser: Browser, _args: argparse.Namespace) -> None:
    """On a fresh data root, from asking for the page to the first picture."""
    walks = {
        "by “Just show me”": (just_show, "3 clicks and 60 s"),
        "through the walkthrough": (walk_through, "120 s"),
    }
    rows = []
    for name, (walk, wanted) in walks.items():
        with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder) / "data") as studio:
            context = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
            page = context.new_page()
            page.set_default_timeout(180_000)
            page.add_init_script(COUNT_CLICKS)
            begun = time.monotonic()
            page.goto(studio.url)
            walk(page)
            took = time.monotonic() - begun
            rows.append((name, f"{page.evaluate('clicks')} clicks, {took:.1f} s   (wanted: at most {wanted})"))
            context.close()
    table("From a fresh installation's first page to its first picture (nobody stops to read)", rows)


# Studios and pages


@contextmanager
def full_studio() -> Iterator[Running]:
    """A studio with everything that the page has to show."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        url = f"sqlite:///{data}/likeness.db"
        migrate(url)
        database = open_database(url)
        fill(database, PICTURES)
        database.close()
        for number in range(PICTURES):
            write_picture(data, number)
        with running_studio(data) as studio:
            yield studio


def write_picture(data: Path, number: int) -> None:
    """The small file and the thumbnail of one picture of a filled library."""
    picture = picture_id(number, PICTURES)
    ground = Image.linear_gradient("L").resize((128, 128))
    image = Image.merge("RGB", [ground.point([(value * by + number * 7) % 256 for value in range(256)]) for by in (1, 2, 3)])
    month = time.strftime("%Y-%m", time.gmtime(int(picture[:11], 16) / 1000))
    files = {data / "pictures" / f"{number}.png": "PNG", data / "thumbnails" / month / f"{picture}.webp": "WEBP"}
    for path, kind in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, kind)


@contextmanager
def empty_studio(data: Path, browser: Browser) -> Iterator[Running]:
    """A studio in which nothing was made, with its walkthrough behind it."""
    with running_studio(data) as studio:
        page = browser.new_page()
        page.goto(studio.url)
        with page.expect_response(lambda answer: answer.request.method != "GET" and "/api/v1/" in answer.url):
            page.get_by_role("button", name="Skip for now").click()
        page.close()
        yield studio


@contextmanager
def visit(browser: Browser, studio: Running) -> Iterator[Page]:
    """The page with every control and every tab, ready for use."""
    context = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    try:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.add_init_script("localStorage.setItem('likeness-level', 'advanced')")
        page.goto(studio.url)
        usable(page)
        page.wait_for_timeout(1_000)
        yield page
    finally:
        context.close()


def arrive(browser: Browser, studio: Running, *, people: int) -> float:
    """Seconds from the first byte until the page can be used, in a browser that knows nothing of it."""
    context = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page = context.new_page()
    page.goto(studio.url, wait_until="commit")
    page.wait_for_function(USABLE, arg=people, polling="raf")
    took = page.evaluate("performance.now() - performance.getEntriesByType('navigation')[0].responseStart") / 1000
    context.close()
    return took


def just_show(page: Page) -> None:
    """One click to a picture."""
    page.get_by_role("button", name="Just show me").click()
    page.locator("likeness-setup .one-easel img.picture:not(.live)").wait_for()
    page.get_by_role("heading", name="This is Nova").wait_for()


def walk_through(page: Page) -> None:
    """Step by step to a picture of one's own character."""
    page.get_by_role("button", name="Show me around").click()
    page.locator(".checks-fold, .check[data-status=warn], .check[data-status=fail]").first.wait_for()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Name", exact=True).fill("Mara")
    page.get_by_label("Looks, in a few words").fill("short black hair, brown skin, green eyes, round glasses")
    page.get_by_role("button", name="Continue with Mara").click()
    page.get_by_role("button", name="Make the picture").click()
    page.get_by_role("heading", name="This is Mara").wait_for()


# Photos


def photos(folder: Path, count: int, *, orientation: int = 1) -> Iterator[Path]:
    """So many different photos: gradients with the noise of a sensor, as JPEG of quality 90 that says when and where."""
    width, height = PHOTO
    dice = np.random.default_rng(7)
    noise = dice.normal(0, 6, (height, width, 1)).astype(np.float32)
    across, down = np.linspace(0, 1, width, dtype=np.float32)[None, :, None], np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Likeness"
    exif[ExifTags.Base.DateTime] = "2026:01:31 18:00:00"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: (48.0, 51.0, 24.0),
            ExifTags.GPS.GPSLongitudeRef: "E",
            ExifTags.GPS.GPSLongitude: (2.0, 21.0, 3.0),
        }
    )
    for number in range(count):
        corners = dice.uniform(40, 215, (3, 3)).astype(np.float32)
        ground = corners[0] + (corners[1] - corners[0]) * across + (corners[2] - corners[0]) * down * 0.5
        pixels = np.clip(ground + np.roll(noise, number * 131, axis=1), 0, 255).astype(np.uint8)
        path = folder / f"IMG_{orientation}_{number:03}.jpg"
        Image.fromarray(pixels).save(path, "JPEG", quality=90, exif=exif)
        yield path


def by_pillow(files: Sequence[Path]) -> None:
    """Decode each and make its thumbnail."""
    for file in files:
        with Image.open(io.BytesIO(file.read_bytes())) as image:
            metadata.thumbnail(image)


def by_studio(studio: Running, name: str, files: Sequence[Path]) -> None:
    """Give all of them to a new character, some at a time."""
    made = studio.post("characters", {"name": name})
    line = http.client.HTTPConnection(urlsplit(studio.url).netloc, timeout=300)
    for start in range(0, len(files), AT_ONCE):
        some = files[start : start + AT_ONCE]
        boundary = secrets.token_hex(16)
        line.request(
            "POST",
            f"/api/v1/characters/{made['id']}/images",  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
            multipart(some, boundary),
            {"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )
        answer = line.getresponse()
        said = answer.read()
        if answer.status != 201 or b'"refused":[]' not in said:
            raise RuntimeError(said[:500])
    line.close()


def multipart(files: Sequence[Path], boundary: str) -> bytes:
    """The files as the body of a form."""
    parts = []
    for file in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\nContent-Type: image/jpeg\r\n\r\n'
        parts += [head.encode(), file.read_bytes(), b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()])


def timed(act: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def listed(values: Sequence[float], digits: int = 2) -> str:
    """All of them, in order."""
    return ", ".join(f"{value:.{digits}f}" for value in values)


if __name__ == "__main__":
    main()
