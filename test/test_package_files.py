# SPDX-License-Identifier: Apache-2.0
"""What every package has: one version, a complete package.xml, a README that names its executables, a changelog."""

import ast
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from catkin_pkg import changelog
from so101_workspace import build
from so101_workspace.layout import Layout

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(build.packages(Layout(ROOT)).values())

each_package = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))


def manifest(folder: Path) -> ElementTree.Element:
    return ElementTree.parse(folder / "package.xml").getroot()


def set_up(folder: Path) -> dict[str, Any]:
    """The arguments of setup() that are plain values; empty for a package that CMake builds."""
    path = folder / "setup.py"
    if not path.exists():
        return {}
    call = next(
        node for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setup"
    )  # fmt: skip
    found = {}
    for keyword in call.keywords:
        try:
            found[keyword.arg or ""] = ast.literal_eval(keyword.value)
        except ValueError:
            continue
    return found


def executables(folder: Path) -> list[str]:
    return [line.split("=")[0].strip() for line in set_up(folder).get("entry_points", {}).get("console_scripts", [])]


def test_all_packages_have_one_version() -> None:
    versions = {manifest(folder).findtext("version") for folder in FOLDERS}
    versions |= {set_up(folder)["version"] for folder in FOLDERS if set_up(folder)}
    assert len(FOLDERS) > 10
    assert len(versions) == 1, versions


@each_package
def test_a_manifest_is_complete(folder: Path) -> None:
    root = manifest(folder)
    description = root.findtext("description") or ""
    assert re.fullmatch(r"[A-Z][^\n]{20,140}\.", description), "one plain sentence"
    assert root.findtext("license") == "Apache-2.0"
    assert root.find("maintainer").get("email")  # type: ignore[union-attr]
    assert root.findtext("export/build_type") == ("ament_python" if set_up(folder) else "ament_cmake")
    if set_up(folder):
        assert {
            name: set_up(folder)[name] for name in ("description", "license", "maintainer", "maintainer_email")
        } == {
            "description": description,
            "license": "Apache-2.0",
            "maintainer": root.findtext("maintainer"),
            "maintainer_email": root.find("maintainer").get("email"),  # type: ignore[union-attr]
        }


@each_package
def test_a_readme_names_the_package_its_executables_and_its_tests(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert text.startswith(f"# {manifest(folder).findtext('name')}\n")
    assert re.search(r"^- Tests: `\./so101 test [\w/. ]+`$", text, re.MULTILINE)
    assert [name for name in executables(folder) if not re.search(rf"^\| `{name}` \|", text, re.MULTILINE)] == []


@each_package
def test_a_readme_links_to_what_exists(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    for path, anchor in re.findall(r"\]\(([^)#:]+)(?:#([\w-]+))?\)", text):
        page = folder / path
        assert page.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", name).strip().lower().replace(" ", "-") for name in headings}, (
                anchor
            )
    for path in re.findall(r"(?<![\w/])(?:src|test)/[\w/.]+", text.replace("../", "")):
        assert (ROOT / path).exists(), path


@each_package
def test_a_changelog_can_be_read_by_the_release_tools(folder: Path) -> None:
    """Below Forthcoming, which catkin_prepare_release dates, come the released versions, newest first."""
    text = (folder / "CHANGELOG.rst").read_text()
    name, version = manifest(folder).findtext("name"), manifest(folder).findtext("version")
    assert f"\nChangelog for package {name}\n" in text
    entries = changelog.get_changelog_from_path(str(folder), package_name=name).foreach_version()
    released = [number for number, _date, _content in entries]
    forthcoming = re.search(r"^Forthcoming\n-+\n+\* ", text, re.MULTILINE)
    assert forthcoming or released[:1] == [version]
    assert released == sorted(released, key=lambda number: [int(part) for part in number.split(".")], reverse=True)
