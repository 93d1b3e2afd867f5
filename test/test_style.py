# SPDX-License-Identifier: Apache-2.0
"""ruff and mypy, as tests: what they find is a failure like any other."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LICENSE = "SPDX-License-Identifier: Apache-2.0"
LONGEST_MODULE = 300  # lines, without a reason


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("ruff") is None, reason="ruff is not installed here")
def test_ruff_finds_nothing() -> None:
    run("ruff", "check", "--output-format", "concise", ".")


@pytest.mark.skipif(shutil.which("ruff") is None, reason="ruff is not installed here")
def test_ruff_would_format_nothing_otherwise() -> None:
    run("ruff", "format", "--check", "--quiet", "--diff", ".")


@pytest.mark.skipif(shutil.which("mypy") is None, reason="mypy is not installed here")
def test_mypy_finds_nothing() -> None:
    """All packages at once; the tests themselves are not typed strictly and are left to ruff."""
    packages = [str(path.parent) for path in sorted((ROOT / "src").glob("*/*/py.typed"))]
    assert len(packages) >= 15
    run("mypy", *packages, str(ROOT / "scripts" / "so101_workspace"), str(ROOT / "docs" / "generators"))


def test_python_3_8_reads_the_entry_script() -> None:
    """It has to start on whatever Python a machine brings, before there is an environment."""
    for path in [ROOT / "scripts" / "__main__.py", *(ROOT / "scripts" / "so101_workspace").glob("*.py")]:
        ast.parse(path.read_text(), str(path), feature_version=(3, 8))


def test_nodes_count_publishers_and_subscriptions_under_remapped_names() -> None:
    """rclpy's own counts ignore remapping, which once switched the alarm about a second commander off."""
    counts = re.compile(r"\.count_(publishers|subscribers)\(")
    sources = [path for path in ROOT.glob("src/*/*/**/*.py") if path.parent.name != "test"]
    assert len(sources) > 100
    offenders = [path for path in sources if path.name != "graph.py" and counts.search(path.read_text())]
    assert [str(path.relative_to(ROOT)) for path in offenders] == [], "use so101_node.topics.graph"


def test_entries_of_diagnostics_are_made_in_one_place() -> None:
    """Where a node builds them by hand, names and causes drift apart."""
    sources = [path for path in ROOT.glob("src/*/*/**/*.py") if path.parent.name != "test"]
    offenders = [path for path in sources if re.search(r"\bDiagnosticStatus\(", path.read_text())]
    assert [str(path.relative_to(ROOT)) for path in offenders] == [
        "src/so101_node/so101_node/diagnostics/publishing.py"
    ]


def test_timers_do_not_stop_with_the_clock_of_a_simulation() -> None:
    """rclpy's own timers stand still under use_sim_time while nobody publishes /clock."""
    sources = [path for path in ROOT.glob("src/*/*/**/*.py") if path.parent.name != "test"]
    offenders = [path for path in sources if re.search(r"\.create_timer\(", path.read_text())]
    assert [str(path.relative_to(ROOT)) for path in offenders] == ["src/so101_node/so101_node/timing/timers.py"]


def test_what_a_folder_of_tests_shares_ends_with_them() -> None:
    """In a folder that is no package, pytest lets a fixture of that scope live until all tests are over."""
    files = [path for pattern in ("src/*/test/**/conftest.py", "test/**/conftest.py") for path in ROOT.glob(pattern)]
    shared = [path for path in files if 'scope="package"' in path.read_text()]
    assert shared, "the fault rows share a running system"
    assert [path for path in shared if not path.with_name("__init__.py").is_file()] == []


def test_no_program_reads_a_cause_out_of_a_sentence() -> None:
    """Names of cameras and words of exceptions stand in sentences; a cause is compared by its name."""
    sentences = {"message", "cause", "reason", "text", "problem", "error", "failure"}

    def is_sentence(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr in sentences

    def reads(node: ast.AST) -> bool:
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            return (
                isinstance(node.left, ast.Constant)
                and isinstance(node.left.value, str)
                and is_sentence(node.comparators[0])
            )
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("startswith", "endswith", "find", "partition")
            and is_sentence(node.func.value)
        )

    sources = [path for path in ROOT.glob("src/*/*/**/*.py") if path.parent.name != "test"]
    sources.remove(ROOT / "src/so101_node/so101_node/parameters/yaml_values.py")  # explains the YAML parser's own words
    names = "|".join(sorted(sentences))
    suspect = re.compile(rf"\bin [\w.]+\.({names})\b|\.({names})\.(startswith|endswith|find|partition)\(")
    offenders = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources
        if suspect.search(path.read_text())  # parsing every source takes seconds
        for node in ast.walk(ast.parse(path.read_text()))
        if reads(node)
    ]
    assert offenders == []


def test_a_long_module_says_why_it_is_one() -> None:
    """A sentence in its docstring that begins with "One module because"; CONTRIBUTING.md has the rule."""
    modules = [*ROOT.glob("src/*/so101_*/**/*.py"), *ROOT.glob("scripts/**/*.py"), *ROOT.glob("docs/generators/*.py")]
    long = {path: path.read_text() for path in modules if len(path.read_text().splitlines()) > LONGEST_MODULE}
    reasons = {path: ast.get_docstring(ast.parse(text)) or "" for path, text in long.items()}
    silent = [path for path, reason in reasons.items() if not re.search(r"One module because\s\w[^.]{20,}\.", reason)]
    assert [str(path.relative_to(ROOT)) for path in silent] == []


def test_every_source_file_names_its_license() -> None:
    """In its first lines, behind what has to be first. What a package.xml says holds for messages too."""
    kinds = (".py", ".sh", ".c", ".cmake", ".launch.xml", "CMakeLists.txt", ".robot", ".server")
    tops = ("config", "docker", "docs", "launch", "scripts", "src", "test")
    files = [path for top in tops for path in sorted((ROOT / top).rglob("*")) if path.name.endswith(kinds)]
    files = [path for path in files if not {"build", "install", "log"} & set(path.relative_to(ROOT).parts)]
    assert len(files) > 500
    silent = [path for path in files if LICENSE not in "".join(path.read_text().splitlines(keepends=True)[:3])]
    assert [str(path.relative_to(ROOT)) for path in silent] == []
