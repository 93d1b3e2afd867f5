# SPDX-License-Identifier: Apache-2.0
"""One name for one thing: no public name and no page has a synonym that the glossary bans; class names are unique."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT, pages, prose

GLOSSARY = DOCS / "reference/glossary.md"

# Names with a banned word that stay, and why: patterns over `package:name`.
NAMES_THAT_STAY: dict[str, str] = {
    r".*:(ANSWERS_LATE|ANSWERED_TWICE|WAITING_TO_ASK|POSE_UNKNOWN)": "causes on the wire: programs compare them",
    r".*:(answered|bus_answers)": "fields of messages on the wire",
    r"so101_sim:(CubePose|cube_pose|object_pose|pose)": "the pose of a rigid body: position and orientation",
    r"so101_(description|viewer):(pose|link_poses|poses?)": "poses of links: geometry, as ROS means the word",
    r"so101_action_queue:max_pose_age_s|so101_viewer:pose_hz": "parameters that deployments set",
    r"so101_training:final_rate_share": "a key of training cards that exist",
}

# Class names that several packages have, and why that is right.
SHARED_CLASS_NAMES: dict[str, str] = {}

# Lines of pages that need a banned word: a pattern of the text, and why.
TEXTS_THAT_STAY: dict[str, str] = {}

PACKAGES = sorted(path.parent for path in (ROOT / "src").glob("*/package.xml"))


@cache
def banned() -> tuple[frozenset[str], tuple[str, ...]]:
    """Single words, and phrases, of the glossary's last columns."""
    words: set[str] = set()
    phrases: set[str] = set()
    for line in GLOSSARY.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or len(cells) not in (2, 4):
            continue
        spans = re.findall(r"`([^`]+)`", (cells[3] if len(cells) == 4 else cells[0]).partition(":")[0])
        for span in spans:
            (phrases if " " in span or len(cells) == 2 else words).add(span)
    return frozenset(words), tuple(sorted(phrases))


def words_of(name: str) -> list[str]:
    """`take_answer`, `TakeAnswer` and `ANSWERS_LATE` as lower-case words."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def public_names(path: Path) -> set[str]:
    """The module's own name; its classes, functions, parameters and fields that do not begin with an underscore."""
    names = {path.stem}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef(name=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if not name.startswith("_"):
                names.add(name)
                names |= {one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return {name for name in names if not name.startswith("_")}


def modules(package: Path) -> list[Path]:
    return sorted((package / package.name).rglob("*.py"))


def test_the_glossary_bans_words() -> None:
    words, phrases = banned()
    assert {"question", "answer", "picture", "pose"} <= words and {"anew", "for ever"} <= set(phrases)


def test_no_public_name_has_a_banned_word() -> None:
    words, _ = banned()
    used: set[str] = set()
    wrong = []
    for package in PACKAGES:
        for path in modules(package):
            for name in sorted(public_names(path)):
                if not words.intersection(words_of(name)):
                    continue
                kept = {one for one in NAMES_THAT_STAY if re.fullmatch(one, f"{package.name}:{name}")}
                used |= kept
                if not kept:
                    wrong.append(f"{path.relative_to(ROOT)}: {name}: see docs/reference/glossary.md")
    assert not wrong, "\n".join(wrong)
    assert used == set(NAMES_THAT_STAY), f"no longer needed: {sorted(set(NAMES_THAT_STAY) - used)}"


def test_class_names_are_unique_across_packages() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for path in modules(package):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].add(package.name)
    shared = {name: packages for name, packages in found.items() if len(packages) > 1}
    wrong = [f"{name}: {', '.join(sorted(shared[name]))}" for name in sorted(set(shared) - set(SHARED_CLASS_NAMES))]
    assert not wrong, "\n".join(wrong)
    assert set(SHARED_CLASS_NAMES) <= set(shared), f"no longer needed: {set(SHARED_CLASS_NAMES) - set(shared)}"


@pytest.mark.parametrize(
    "page",
    [page for page in pages() if page != GLOSSARY and "zh" not in str(page.relative_to(ROOT))],
    ids=lambda page: page.name,
)
def test_no_page_has_a_banned_word(page: Path) -> None:
    words, phrases = banned()
    pattern = re.compile(r"\b(" + "|".join(sorted(map(re.escape, (*words, *phrases)))) + r")\b", re.IGNORECASE)
    wrong = []
    for number, text in prose(page):
        for kept in TEXTS_THAT_STAY:
            text = re.sub(kept, "", text)
        wrong += [f"{page.relative_to(ROOT)}:{number}: {found}" for found in pattern.findall(text)]
    assert not wrong, "\n".join(wrong)


def test_no_file_that_people_read_has_a_banned_phrase() -> None:
    """Docstrings, comments, log lines and descriptions of code, messages, parameter files and launch files."""
    files = [path for package in PACKAGES for path in modules(package)]
    for folder, ending in (("msg", "msg"), ("config", "yaml"), ("config", "xml"), ("launch", "xml"), ("scripts", "py")):
        files += sorted((ROOT / folder).rglob(f"*.{ending}"))
    assert len(files) > 300
    phrases = [phrase for phrase in banned()[1] if phrase != "turn about"]  # of axes it is right
    pattern = re.compile(rf"\b({'|'.join(phrases)})\b", re.IGNORECASE)
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {found}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for found in pattern.findall(line)
    ]
    assert not wrong, "\n".join(wrong)
