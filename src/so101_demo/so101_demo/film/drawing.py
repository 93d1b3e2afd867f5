# SPDX-License-Identifier: Apache-2.0
"""Draws one image of the film: the cameras side by side, and below them the action queue over the last seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from so101_demo.film.colours import BACKGROUND, FAINT, GRID, PANEL, TEXT, THRESHOLD, Colour, dimmed, font
from so101_demo.film.reel import EpisodeSample, QueueSample
from so101_demo.film.row_drawing import ROWS_HEIGHT, RowsSeen, draw_rows

MARGIN = 12
HEADER = 50
CELL = (344, 258)
PLOT_HEIGHT = 148
PLOT_WINDOW_S = 6.0
SHARPNESS = 2  # the plot is drawn at twice its size and reduced, which smooths its lines

STATE_COLOURS = {
    "RUNNING": (70, 190, 132),
    "WAITING": (96, 156, 235),
    "STARVED": (236, 92, 92),
    "HOLDING": (236, 148, 72),
}
EVENT_WORDS = {"succeeded": "PLACED", "failed": "TIME IS UP", "aborted": "ABORTED"}
EVENT_COLOURS = {"succeeded": (70, 190, 132), "failed": (236, 92, 92), "aborted": (148, 160, 175)}


@dataclass(frozen=True, slots=True)
class FilmMoment:
    """All that one image shows. `queue` holds the ticks of the last PLOT_WINDOW_S, oldest first.

    rows: the planned and the corrected ones; None where no correction was loaded.
    """

    time_ns: int
    cameras: Mapping[str, Image.Image | None]
    queue: Sequence[QueueSample]
    episode: EpisodeSample | None
    elapsed_s: float
    subtitle: str
    rows: RowsSeen | None = None


def drawing_size(cameras: int, *, rows: bool = False) -> tuple[int, int]:
    """Return width and height of an image with that many cameras, pixels; both even, as video encoders want.

    rows: whether a correction was loaded, whose rows are shown.
    """
    width = MARGIN + cameras * (CELL[0] + MARGIN)
    height = HEADER + CELL[1] + MARGIN + PLOT_HEIGHT + MARGIN + rows * (ROWS_HEIGHT + MARGIN)
    return width + width % 2, height + height % 2


def draw(moment: FilmMoment) -> Image.Image:
    """Return the image of one moment, RGB."""
    size = drawing_size(len(moment.cameras), rows=moment.rows is not None)
    image = Image.new("RGB", size, BACKGROUND)
    _draw_header(image, moment)
    for index, (name, frame) in enumerate(moment.cameras.items()):
        _draw_camera(image, MARGIN + index * (CELL[0] + MARGIN), name, frame)
    plot = _plot(moment, size[0] - 2 * MARGIN)
    top = HEADER + CELL[1] + MARGIN
    image.paste(plot, (MARGIN, top))
    if moment.rows is not None:
        cause = moment.queue[-1].correction_cause if moment.queue else ""
        image.paste(draw_rows(moment.rows, cause, size[0] - 2 * MARGIN), (MARGIN, top + PLOT_HEIGHT + MARGIN))
    return image


def _draw_header(image: Image.Image, moment: FilmMoment) -> None:
    pen = ImageDraw.Draw(image)
    task = moment.episode.task if moment.episode else ""
    pen.text((MARGIN, HEADER / 2), task, TEXT, font(22), anchor="lm")
    used = pen.textlength(task, font(22))
    pen.text((MARGIN + used + 14, HEADER / 2 + 2), moment.subtitle, FAINT, font(15), anchor="lm")
    if moment.episode is None:
        return
    right = float(image.width - MARGIN)
    word = EVENT_WORDS.get(moment.episode.event)
    if word:
        right = _pill(pen, right, HEADER / 2, word, EVENT_COLOURS[moment.episode.event]) - 12
    text = f"episode {moment.episode.episode + 1}   {moment.elapsed_s:4.1f} s"
    pen.text((right, HEADER / 2), text, TEXT, font(18), anchor="rm")


def _pill(pen: ImageDraw.ImageDraw, right: float, middle: float, text: str, colour: Colour) -> float:
    """Draw text on a coloured pill that ends at `right`; return its left edge."""
    width = pen.textlength(text, font(15)) + 22
    pen.rounded_rectangle((right - width, middle - 13, right, middle + 13), 13, fill=colour)
    pen.text((right - width / 2, middle), text, BACKGROUND, font(15), anchor="mm")
    return right - width


def _draw_camera(image: Image.Image, left: int, name: str, frame: Image.Image | None) -> None:
    pen = ImageDraw.Draw(image)
    if frame is None:
        pen.rectangle((left, HEADER, left + CELL[0] - 1, HEADER + CELL[1] - 1), fill=PANEL)
    else:
        image.paste(frame.convert("RGB").resize(CELL, Image.Resampling.LANCZOS), (left, HEADER))
    width = pen.textlength(name, font(14)) + 14
    pen.rectangle((left, HEADER + CELL[1] - 22, left + width, HEADER + CELL[1] - 1), fill=BACKGROUND)
    pen.text((left + 7, HEADER + CELL[1] - 11), name, TEXT, font(14), anchor="lm")


def _plot(moment: FilmMoment, width: int) -> Image.Image:
    """Return the queue's band: rows left over time, coloured by state, the threshold, and the present metrics."""
    scale = SHARPNESS
    band = Image.new("RGB", (width * scale, PLOT_HEIGHT * scale), PANEL)
    pen = ImageDraw.Draw(band)
    left, right, top, bottom = 52 * scale, (width - 176) * scale, 34 * scale, (PLOT_HEIGHT - 14) * scale
    newest = moment.queue[-1] if moment.queue else None
    # One or two chunks fit: the scale is the chunk, so that the curve reads as a ratio of it.
    most = max([50, *(max(sample.length, sample.chunk_size) for sample in moment.queue)])

    def at(time_ns: int, rows: float) -> tuple[float, float]:
        age_s = (moment.time_ns - time_ns) * 1e-9
        return right - age_s / PLOT_WINDOW_S * (right - left), bottom - rows / most * (bottom - top)

    for second in range(int(PLOT_WINDOW_S) + 1):
        x = right - second / PLOT_WINDOW_S * (right - left)
        pen.line((x, top, x, bottom), GRID, scale)
    for before, after in zip(moment.queue, moment.queue[1:], strict=False):
        if after.time_ns - before.time_ns > 0.5e9:
            continue  # between two episodes nothing was recorded
        colour = STATE_COLOURS.get(after.state, FAINT)
        x1, y1 = at(before.time_ns, before.length)
        x2, y2 = at(after.time_ns, after.length)
        x1 = max(x1, left)
        pen.polygon((x1, bottom, x1, y1, x2, y2, x2, bottom), fill=dimmed(colour))
        pen.line((x1, y1, x2, y2), colour, 2 * scale)
    pen.line((left, bottom, right, bottom), FAINT, scale)
    threshold = newest.threshold * newest.chunk_size if newest else 0.0
    if threshold > 0:
        y = at(moment.time_ns, threshold)[1]
        for x in range(left, right, 14 * scale):
            pen.line((x, y, min(x + 7 * scale, right), y), THRESHOLD, scale)
    band = band.reduce(scale)
    _label_plot(band, newest, most, threshold, (left // scale, right // scale, top // scale, bottom // scale))
    return band


def _label_plot(
    band: Image.Image, newest: QueueSample | None, most: int, threshold: float, box: tuple[int, int, int, int]
) -> None:
    pen = ImageDraw.Draw(band)
    left, right, top, bottom = box
    pen.text((14, 17), "action queue: rows still to execute", FAINT, font(15), anchor="lm")
    pen.text((right, 17), f"last {PLOT_WINDOW_S:g} s", FAINT, font(15), anchor="rm")
    y = bottom - threshold / most * (bottom - top)
    if y > top + 16 or not threshold:  # a threshold of a whole chunk has the same place
        pen.text((left - 8, top + 4), str(most), FAINT, font(14), anchor="rm")
    pen.text((left - 8, bottom - 4), "0", FAINT, font(14), anchor="rm")
    if threshold > 0:
        pen.text((left - 8, y), f"{threshold:g}", THRESHOLD, font(14), anchor="rm")
    if newest is None:
        return
    column = right + 16
    pen.text((column, 30), str(newest.length), TEXT, font(34), anchor="lm")
    used = pen.textlength(str(newest.length), font(34))
    pen.text((column + used + 6, 36), "rows", FAINT, font(15), anchor="lm")
    pen.text((column, 64), newest.state, STATE_COLOURS.get(newest.state, FAINT), font(18), anchor="lm")
    pen.text((column, 90), f"tick {newest.tick_hz:.2f} Hz", TEXT, font(15), anchor="lm")
    if newest.round_trip is not None:
        pen.text((column, 110), f"round trip {newest.round_trip * 1e3:.0f} ms", TEXT, font(15), anchor="lm")
    pen.text((column, 130), "- - requests a chunk", THRESHOLD, font(14), anchor="lm")
