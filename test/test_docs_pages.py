# SPDX-License-Identifier: Apache-2.0
"""The pages hold together: the site builds without a warning, every link and anchor exists, every named test exists."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT, TOP, prose
from markdown.extensions.toc import slugify_unicode

ROWS = [
    line.split("|")[-2].strip()
    for line in (DOCS / "field.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| Symptom"))
]
FILES = {path.name: path for folder in ("src", "test") for path in (ROOT / folder).rglob("test_*.py")}
TOP_PAGES = [ROOT / name for name in (*TOP, "SECURITY.md") if (ROOT / name).is_file()]


def test_there_are_rows() -> None:
    assert len(ROWS) > 60


@pytest.mark.parametrize("cell", sorted(set(ROWS)))
def test_the_test_that_a_row_names_is_there(cell: str) -> None:
    named = re.findall(r"`([^`]+)`", cell)
    assert named, cell
    file = ""
    for word in named:
        name, _, function = word.rpartition("::")
        if word.endswith(".py"):
            name, function = word, ""
        file = name or file  # `test_x.py::test_a...`, `test_b...`: both of one file
        assert file in FILES, word
        if function:
            assert f"def {function.removesuffix('...')}" in FILES[file].read_text(encoding="utf-8"), word


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as strictly as mkdocs can: a page outside the nav, a dead link or a dead anchor ends it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        # Not --quiet: it hides warnings from --strict, too.
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stdout + done.stderr
    return folder


def test_the_site_builds_without_a_warning(site: Path) -> None:
    built = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")} - {Path("404.md")}
    assert built == {path.relative_to(DOCS) for path in DOCS.rglob("*.md")}


def test_a_browser_gets_nothing_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source|video)[^>]*?src=[\"']([^\"']+)", text)
        loaded += re.findall(r"<link[^>]*?href=[\"']([^\"']+)", text)
        assert loaded
        assert not [one for one in loaded if re.match(r"(https?:)?//", one)], page
        assert 'class="mermaid"' not in text, f"{page}: drawn by a script from another host"
        assert 'data-md-component="source"' not in text, f"{page}: asks a host for the repository's statistics"
    assert (site / "search/search_index.json").is_file()


@pytest.mark.parametrize("page", TOP_PAGES, ids=lambda page: page.name)
def test_each_link_at_the_top_leads_somewhere(page: Path) -> None:
    """Those within docs/ are held by the strict build."""
    wrong = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", line):
            name, _, anchor = next(filter(None, target)).partition("#")
            if re.match(r"https?:|mailto:", name):
                continue
            file = page.parent / name if name else page
            if not file.exists():
                wrong.append(f"{page.name}:{number}: {name}: no such file")
            elif anchor and anchor not in anchors(file):
                wrong.append(f"{page.name}:{number}: {name}#{anchor}: no such heading")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", ["src", "scripts", "config", "launch", "msg", "requirements", "docker", ".github"])
def test_each_page_that_code_and_files_name_is_there(folder: str) -> None:
    wrong = []
    for path in (ROOT / folder).rglob("*"):
        if path.is_file() and path.suffix in {
            ".py",
            ".md",
            ".yaml",
            ".yml",
            ".xml",
            ".txt",
            ".msg",
            ".rst",
            ".json",
            ".toml",
        }:
            named = re.findall(
                r"\bdocs/[\w/-]+\.(?:md|png|json|webp)", path.read_text(encoding="utf-8", errors="ignore")
            )
            wrong += [f"{path.relative_to(ROOT)}: {one}" for one in named if not (ROOT / one).exists()]
    assert not wrong, "\n".join(wrong)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as the site and the public hosts make them."""
    titles = [text.lstrip("# ") for _, text in prose(page) if text.startswith("#")]
    return frozenset(slugify_unicode(title, "-") for title in titles)
