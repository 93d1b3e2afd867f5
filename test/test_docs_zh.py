# SPDX-License-Identifier: Apache-2.0
"""The Chinese pages stay in step with the English ones: the same headings, commands and symptoms."""

import re
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT, blocks, code_spans

PAIRS = {
    DOCS / "zh/tutorial.md": DOCS / "tutorial/first_motion.md",
    DOCS / "zh/safety.md": DOCS / "explanation/safety.md",
    DOCS / "zh/troubleshooting.md": DOCS / "field.md",
    DOCS / "zh/correction.md": DOCS / "explanation/correction.md",
    DOCS / "zh/correct-on-the-robot.md": DOCS / "how-to/correct-on-the-robot.md",
    DOCS / "zh/deployment.md": DOCS / "how-to/deployment.md",
    DOCS / "zh/cameras.md": DOCS / "how-to/cameras.md",
    DOCS / "zh/server-anywhere.md": DOCS / "how-to/server-anywhere.md",
    DOCS / "zh/ssh-tunnel.md": DOCS / "how-to/ssh-tunnel.md",
    DOCS / "zh/recording.md": DOCS / "how-to/recording.md",
    DOCS / "zh/install.md": DOCS / "how-to/install.md",
    DOCS / "zh/viewing.md": DOCS / "how-to/viewing.md",
    DOCS / "zh/tuning.md": DOCS / "how-to/tuning.md",
    ROOT / "README.zh-CN.md": ROOT / "README.md",
}
every_pair = pytest.mark.parametrize(
    ("chinese", "english"), PAIRS.items(), ids=lambda page: str(page.relative_to(ROOT))
)
WORDED_OTHERWISE = {  # small numbers as words, or half of the rows: their tables are compared below
    DOCS / "zh/correction.md",
    DOCS / "zh/correct-on-the-robot.md",
    DOCS / "zh/troubleshooting.md",
    ROOT / "README.zh-CN.md",
}
sentence_by_sentence = pytest.mark.parametrize(
    ("chinese", "english"),
    [(one, other) for one, other in PAIRS.items() if one not in WORDED_OTHERWISE],
    ids=lambda page: str(page.relative_to(ROOT)),
)


def headings(page: Path) -> list[int]:
    """The level of each heading, in order."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]


def code(page: Path) -> list[tuple[str, str, list[tuple[str, ...]]]]:
    """Language, marker and commands of each block that is typed or copied; comments may be in another language."""
    return [
        (block.language, block.needs or block.run_by, [command.words for command in block.commands()])
        for block in blocks(page)
        if block.language
    ]


def rows(page: Path) -> list[list[str]]:
    """The cells of each row of each table."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if not line.startswith("|---")
    ]


@every_pair
def test_the_headings_are_in_step(chinese: Path, english: Path) -> None:
    assert headings(chinese) == headings(english)


@every_pair
def test_the_commands_are_the_same(chinese: Path, english: Path) -> None:
    assert code(chinese) == code(english)


def test_the_guarantees_are_the_same() -> None:
    """Row by row the same number of guarantees, and the same parameters, causes and numbers in each."""
    chinese, english = rows(DOCS / "zh/safety.md"), rows(DOCS / "explanation/safety.md")
    assert len(chinese) == len(english)
    for ours, theirs in zip(chinese[1:], english[1:], strict=True):
        assert sorted(set(re.findall(r"`[^`]+`", ours[0]))) == sorted(set(re.findall(r"`[^`]+`", theirs[0]))), ours[0]
        assert set(re.findall(r"\d+\.\d+", ours[0])) == set(re.findall(r"\d+\.\d+", theirs[0])), ours[0]


@pytest.mark.parametrize(
    ("chinese", "english"),
    [
        ("zh/correction.md", "explanation/correction.md"),
        ("zh/correct-on-the-robot.md", "how-to/correct-on-the-robot.md"),
        ("zh/deployment.md", "how-to/deployment.md"),
        ("zh/cameras.md", "how-to/cameras.md"),
        ("zh/server-anywhere.md", "how-to/server-anywhere.md"),
        ("zh/ssh-tunnel.md", "how-to/ssh-tunnel.md"),
        ("zh/recording.md", "how-to/recording.md"),
        ("zh/install.md", "how-to/install.md"),
        ("zh/viewing.md", "how-to/viewing.md"),
        ("zh/tuning.md", "how-to/tuning.md"),
    ],
)
def test_tables_have_the_same_figures_row_by_row(chinese: str, english: str) -> None:
    ours, theirs = rows(DOCS / chinese), rows(DOCS / english)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert len(one) == len(other), one
        for text, meant in zip(one, other, strict=True):
            assert sorted(re.findall(r"\d+(?:\.\d+)?", text)) == sorted(re.findall(r"\d+(?:\.\d+)?", meant)), text
            assert set(re.findall(r"`[^`]+`", text)) == set(re.findall(r"`[^`]+`", meant)), text


def spans(page: Path) -> list[str]:
    """Each different `code span`: parameters, files, messages of the program."""
    return sorted({text for _, text in code_spans(page)})


def figures(page: Path) -> list[str]:
    """Each number of the text and the tables, sorted; not those of code, link targets and dates."""
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", " ", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"\d{4}-\d\d-\d\d|(\d{4} 年 )?\d+ 月 \d+ 日", " ", text)
    return sorted(re.findall(r"\d+(?:[.,]\d+)*", text))


@sentence_by_sentence
def test_the_names_and_the_figures_of_the_text_are_the_same(chinese: Path, english: Path) -> None:
    assert spans(chinese) == spans(english)
    assert figures(chinese) == figures(english)


@pytest.mark.parametrize("page", [*PAIRS, DOCS / "zh/index.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_to_the_chinese_page_where_there_is_one(page: Path) -> None:
    """Except the switch of language at the top, and the list of all symptoms, of which the Chinese page has half."""
    translated = set(PAIRS.values()) - {DOCS / "field.md", ROOT / "README.md"}
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    wrong = [target for target in targets if (page.parent / target).resolve() in translated]
    assert not wrong, f"{page.relative_to(ROOT)}: {', '.join(wrong)}: there is a Chinese page"


def test_each_chinese_page_has_its_english_page_and_a_line_in_the_index() -> None:
    pages = set((DOCS / "zh").glob("*.md")) - {DOCS / "zh/index.md"}
    assert pages == set(PAIRS) - {ROOT / "README.zh-CN.md"}
    index = (DOCS / "zh/index.md").read_text(encoding="utf-8")
    assert [page.name for page in sorted(pages) if f"]({page.name})" not in index] == []


def test_each_chinese_symptom_is_one_of_the_english_page() -> None:
    chinese, english = rows(DOCS / "zh/troubleshooting.md"), rows(DOCS / "field.md")
    known = " ".join(row[0] for row in english)
    symptoms = [row for row in chinese if len(row) == 2 and row[0] != "现象"]
    assert len(symptoms) * 2 >= len(english) - len([row for row in english if row[0] == "Symptom"]), "at least half"
    for row in symptoms:
        spans = re.findall(r"`[^`]+`", row[0])
        assert spans or len(row[0]) > 5, row
        for span in spans:
            assert span in known, f"docs/zh/troubleshooting.md: {span}: no such symptom in docs/field.md"
