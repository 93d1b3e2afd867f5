# SPDX-License-Identifier: Apache-2.0
"""The pages of the docs as the tests read them: code blocks with their lines, prose without code, commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TOP = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "SECURITY.md")
_MARKER = re.compile(r"\s*<!-- (needs|run by): (.+?) -->\s*$")
_FILE = re.compile(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"(\s*)```(\w*)\s*$")


@dataclass(frozen=True)
class Command:
    """One command of a page: `where` is page:line."""

    where: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """One fenced block: `needs` and `run_by` are what the HTML comment above it says, else empty."""

    page: Path
    line: int
    language: str
    text: str
    needs: str = ""
    run_by: str = ""

    @property
    def where(self) -> str:
        """page:line of the first line inside."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[Command]:
        """The single commands: comments away, continued lines joined, `a && b` and `a | b` taken apart."""
        found: list[Command] = []
        begun, start = "", self.line
        for number, line in enumerate(self.text.splitlines(), self.line):
            start = start if begun else number
            begun += line.strip()
            if begun.endswith("\\"):
                begun = begun[:-1]
                continue
            where = f"{self.page.relative_to(ROOT)}:{start}"
            found += [Command(where, words) for words in _taken_apart(begun)]
            begun = ""
        return found


@cache
def pages() -> tuple[Path, ...]:
    """Every page of the site, those at the top of the repository, and the README of each package."""
    return tuple(
        [ROOT / name for name in TOP if (ROOT / name).is_file()]
        + sorted(path for pattern in ("*", "src/*") for path in ROOT.glob(f"{pattern}/README.md"))
        + sorted(path for path in DOCS.rglob("*.md") if "generators" not in path.parts)
    )


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """The fenced blocks of a page."""
    found: list[Block] = []
    marker: tuple[str, str] | None = None
    fence: re.Match[str] | None = None
    inside: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if fence is not None:
            if line.strip() == "```":
                said = dict([marker]) if marker else {}
                text = "\n".join(inside)
                first = number - len(inside)
                found.append(Block(page, first, fence[2], text, said.get("needs", ""), said.get("run by", "")))
                fence, marker, inside = None, None, []
            else:
                inside.append(line.removeprefix(fence[1]))
        elif opened := _FENCE.match(line):
            fence = opened
        elif told := _MARKER.match(line):
            marker = (told[1], told[2])
        elif line.strip():
            marker = None
    assert fence is None, f"{page}: a block without an end"
    return tuple(found)


def shown_files(page: Path) -> dict[str, str]:
    """The files that a page has its reader write: a line with the path alone, then the block. Path -> text."""
    return dict(_FILE.findall(page.read_text(encoding="utf-8")))


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of each line, without code, link targets and comments."""
    fenced = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            text = re.sub(r"``.*?``|`[^`]*`", " ", line)
            yield number, re.sub(r"\]\([^)]*\)|<!--.*?-->|\{#.*?\}", "] ", text)


def code_spans(page: Path) -> Iterator[tuple[str, str]]:
    """page:line and text of each `code span` outside of blocks."""
    fenced = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            for text in re.findall(r"(?<!`)`([^`]+)`(?!`)", line):
                yield f"{page.relative_to(ROOT)}:{number}", text


def _taken_apart(line: str) -> Iterator[tuple[str, ...]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for word in lexer:
        if word in ("&&", "|", "&", "||"):
            if words:
                yield tuple(words)
            words = []
        else:
            words.append(word)
    if words:
        yield tuple(words)
