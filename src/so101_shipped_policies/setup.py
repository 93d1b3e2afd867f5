# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from setuptools import find_packages, setup

package_name = "so101_shipped_policies"


def policy_files() -> list[tuple[str, list[str]]]:
    """Return the policies, one entry per folder, as setuptools wants them."""
    folders = sorted(path for path in Path("policies").glob("*") if path.is_dir())
    return [
        (f"share/{package_name}/{folder}", sorted(str(file) for file in folder.iterdir() if file.is_file()))
        for folder in folders
    ]


setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
        *policy_files(),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="Weights of the demo policies, each with its training card.",
    license="Apache-2.0",
)
