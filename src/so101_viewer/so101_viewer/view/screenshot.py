# SPDX-License-Identifier: Apache-2.0
"""Photographs the browser view of a running robot: `./so101 ros python -m so101_viewer.view.screenshot FILE`.

The view first listens for some seconds and then stops: Chromium without a graphics card draws a frame in a second or
two, and would otherwise never catch up with a robot that goes on.
"""

import io
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from so101_node.one_line_parser import OneLineParser

from so101_viewer.errors import ViewerError
from so101_viewer.view.viewer_server import free_port

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",  # as root, such as in a container, Chromium starts only without
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
START_TIMEOUT_S = 60.0
PAGE_TIMEOUT_S = 180.0
LOOK_S = 3.0
DRAWN_COLOURS = 500  # an empty page has a few dozen
SAME = 0.02  # mean difference between two looks, in steps of 0 to 255, at which nothing changes any more


class ScreenshotError(ViewerError):
    """There is no image; one line."""


def chromium() -> str | None:
    """Return the path of an installed Chromium, or None."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


@contextmanager
def listening_view(seconds: float, port: int) -> Iterator[str]:
    """Run a view that listens for so long, and give out its address once it has."""
    words = [sys.executable, "-m", "so101_viewer.view.view_node", "--ros-args", "-p", f"port:={port}"]
    words += ["-p", f"listen_s:={seconds:.1f}", "-p", "niceness:=5"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            line = process.stdout.readline()
            if not line.startswith("view: "):
                raise ScreenshotError(process.stderr.read().strip() or "the view did not start")
            time.sleep(seconds + 1.0)
            yield line.removeprefix("view: ").strip()
        finally:
            process.terminate()
            process.communicate()


def photograph(url: str, size: tuple[int, int], timeout_s: float = PAGE_TIMEOUT_S) -> NDArray[np.uint8]:
    """Return the page as (height, width, 3), RGB, once it is drawn and changes no more.

    Raises:
        ScreenshotError: no Chromium or Playwright, or an empty page at the end of the time.
    """
    program = chromium()
    if program is None:
        raise ScreenshotError(f"none of {', '.join(CHROMIUM_NAMES)} is installed: apt-get install chromium")
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise ScreenshotError("playwright is not installed: ./so101 setup all") from None
    deadline_s = time.monotonic() + timeout_s
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_ARGUMENTS))
            try:
                page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme="dark")
                page.goto(f"{url}&renderer=webgl", wait_until="commit", timeout=timeout_s * 1e3)
                before = None
                while time.monotonic() < deadline_s:
                    page.wait_for_timeout(LOOK_S * 1e3)
                    now = _pixels(page.screenshot(timeout=timeout_s * 1e3))
                    if is_drawn(now) and before is not None and _difference(before, now) < SAME:
                        return now
                    before = now
            finally:
                browser.close()
    except Error as error:
        raise ScreenshotError(f"Chromium: {error.message.splitlines()[0]}") from error
    if before is None or not is_drawn(before):
        raise ScreenshotError(f"the page {url} is empty after {timeout_s:g} s")
    return before


def is_drawn(image: NDArray[np.uint8]) -> bool:
    """Tell whether the page shows more than its own background."""
    sample = image[::3, ::3].reshape(-1, 3).astype(np.uint32)
    return len(np.unique(sample @ np.array([65536, 256, 1], np.uint32))) > DRAWN_COLOURS


def _pixels(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def _difference(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> float:
    return float(np.abs(before.astype(np.int16) - now.astype(np.int16)).mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Listen, photograph, write the file."""
    parser = OneLineParser(prog="screenshot", description="Photograph the browser view of a running robot.")
    parser.add_argument("file", type=Path, help="image to write: .webp, .png or .jpg")
    parser.add_argument("--seconds", type=float, default=25.0, help="listen so long before (25)")
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--height", type=int, default=900)
    given = parser.parse_args(arguments)
    try:
        with listening_view(given.seconds, free_port(9500)) as url:
            image = photograph(url, (given.width, given.height))
        Image.fromarray(image).save(given.file, quality=82, method=6)
    except (ViewerError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"{given.file}: {given.file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
