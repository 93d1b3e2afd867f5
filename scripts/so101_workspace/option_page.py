# SPDX-License-Identifier: Apache-2.0
"""The help of a verb before anything could print it: from the page of the docs, which a test keeps current."""

from __future__ import annotations

from .layout import Layout


def is_wanted(verb: str, rest: list[str]) -> bool:
    """Whether a help is asked for; behind `ros` stands a command, which may have one of its own."""
    return any(word in ("-h", "--help") for word in (rest[:1] if verb == "ros" else rest))


def help_of(layout: Layout, words: list[str]) -> str:
    """Return the help of the verb, or of its part, that these words name; "" where the page has none."""
    try:
        lines = layout.option_page.read_text(encoding="utf-8").splitlines()
    except OSError:  # a workspace without docs, as in a container
        return ""
    names = [word for word in words if not word.startswith("-")]
    for count in range(len(names), 0, -1):
        text = _block(lines, f"## ./so101 {' '.join(names[:count])}")
        if text:
            return text
    return ""


def _block(lines: list[str], heading: str) -> str:
    """The first fenced block below a heading, whatever its depth."""
    place = next((number for number, line in enumerate(lines) if line.lstrip("#") == heading.lstrip("#")), None)
    if place is None:
        return ""
    fences = [number for number, line in enumerate(lines) if number > place and line.startswith("```")]
    return "\n".join(lines[fences[0] + 1 : fences[1]]) if len(fences) > 1 else ""
