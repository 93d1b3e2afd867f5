# SPDX-License-Identifier: Apache-2.0
"""Workflow, hooks, templates and CONTRIBUTING.md name what is in the repository, and install what is tested."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from so101_workspace import command_line
from so101_workspace.layout import this_workspace

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
HOOKS = ROOT / ".pre-commit-config.yaml"
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / ".github").rglob("*.md"))]

JOB_KEYS = {"name", "runs-on", "container", "timeout-minutes", "defaults", "steps"}
STEP_KEYS = {"name", "uses", "run", "if", "with"}


def jobs() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text())["jobs"]  # type: ignore[no-any-return]


def steps() -> list[dict[str, Any]]:
    return [step for job in jobs().values() for step in job["steps"]]


def scripts() -> Iterator[str]:
    """Each line that the workflow runs, with those that end in a backslash joined."""
    for step in steps():
        yield from step.get("run", "").replace("\\\n", " ").splitlines()


def own_commands(text: str) -> Iterator[list[str]]:
    """Words of each `./so101 VERB ...` and `.ci/run` in a text."""
    for command in re.findall(r"(?:\./so101|\.ci/run)[^`#\n;&|]*", text):
        yield shlex.split(command.replace("...", ""))


def paths_named_in(text: str) -> Iterator[str]:
    """Words that are paths in this repository; those with a word in capitals are meant as a pattern."""
    tops = "src/|test/|docs/|launch/|config/|msg/|requirements/"
    found = (path.rstrip(".,:;") for path in re.findall(rf"(?<![\w/.])(?:{tops})[\w./-]*", text))
    yield from (path for path in found if not re.search("[A-Z]{4}", path))


def test_every_job_of_the_workflow_ends_by_itself_and_says_what_it_is() -> None:
    assert {".ci/run"} <= set(scripts())
    for job in jobs().values():
        assert set(job) <= JOB_KEYS and {"name", "runs-on", "timeout-minutes"} <= set(job)
        for step in job["steps"]:
            assert set(step) <= STEP_KEYS
            assert ("run" in step) != ("uses" in step)


def test_the_workflow_takes_actions_at_a_version_and_may_only_read() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[\w-]+@v\d+", name) for name in used)
    assert yaml.safe_load(WORKFLOW.read_text())["permissions"] == {"contents": "read"}


def test_the_workflow_names_verbs_and_paths_of_this_repository() -> None:
    text = "\n".join(scripts())
    check_commands(text)
    missing = [path for path in paths_named_in(text) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_for_contributors_names_verbs_and_paths_of_this_repository(page: Path) -> None:
    check_commands(page.read_text())
    missing = [path for path in paths_named_in(page.read_text()) if not (ROOT / path).exists()]
    assert missing == []


def check_commands(text: str) -> None:
    known = {"help", *command_line._verbs(this_workspace())}
    for words in own_commands(text):
        assert os.access(ROOT / words[0], os.X_OK), words
        if words[0] == "./so101" and len(words) > 1:
            assert words[1] in known, f"{shlex.join(words)}: {words[1]} is none of {', '.join(sorted(known))}"


def test_hooks_are_pinned_and_ruff_is_the_one_of_the_tests() -> None:
    repositories = yaml.safe_load(HOOKS.read_text())["repos"]
    pins = {entry["repo"].rpartition("/")[2]: entry["rev"] for entry in repositories}
    assert all(re.fullmatch(r"v?\d+(\.\d+)+", pin) for pin in pins.values()), pins
    tested = re.search(r"^ruff==(\S+)$", (ROOT / "requirements" / "constraints.txt").read_text(), re.MULTILINE)
    assert tested and pins["ruff-pre-commit"] == f"v{tested[1]}"
    assert {"ruff-check", "ruff-format", "end-of-file-fixer"} <= {
        hook["id"] for entry in repositories for hook in entry["hooks"]
    }


def test_issue_templates_say_what_they_are() -> None:
    templates = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.md"))
    assert len(templates) >= 2
    for template in templates:
        _, header, body = template.read_text().split("---\n", 2)
        assert {"name", "about", "labels"} == set(yaml.safe_load(header))
        assert body.strip()


def test_python_of_the_jobs_is_that_of_the_tests() -> None:
    """The wheels exist for one Python; ubuntu-24.04 has it."""
    assert "python3.12-venv" in WORKFLOW.read_text()
    assert sys.version_info[:2] == (3, 12)
    assert {job["runs-on"] for job in jobs().values()} == {"ubuntu-24.04"}
