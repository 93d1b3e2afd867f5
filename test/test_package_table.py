# SPDX-License-Identifier: Apache-2.0
"""The page about the packages is what their package.xml say, and what they say has no circle."""

import pytest
from docs_pages import DOCS
from package_table import Package, direct, document, floors, packages

PAGE = DOCS / "reference/packages.md"
RENEW = "./so101 ros python docs/generators/package_table.py > docs/reference/packages.md"


def package(name: str, *needs: str) -> Package:
    return Package(name, f"src/{name}", "", frozenset(needs), ())


def test_the_page_is_current() -> None:
    assert document() == PAGE.read_text(encoding="utf-8"), RENEW


def test_a_package_stands_above_what_it_needs() -> None:
    known = packages()
    order = [name for names in floors(known) for name in names]
    assert sorted(order) == sorted(known)
    for name, one in known.items():
        assert all(order.index(need) < order.index(name) for need in one.needs)


def test_a_circle_is_named() -> None:
    with pytest.raises(ValueError, match="circle: a, b"):
        floors({"a": package("a", "b"), "b": package("b", "a"), "c": package("c")})


def test_what_follows_from_another_dependency_is_left_out() -> None:
    known = {"a": package("a", "b", "c"), "b": package("b", "c"), "c": package("c")}
    assert direct(known, "a") == ["b"]
