# SPDX-License-Identifier: Apache-2.0
"""Package so101_driver_conformance."""

from setuptools import find_packages, setup

PACKAGE = "so101_driver_conformance"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={PACKAGE: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "pytest"],
    zip_safe=True,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="The contract that any driver of an arm keeps for the action queue, and a suite that checks it.",
    license="Apache-2.0",
    entry_points={"console_scripts": ["check_driver = so101_driver_conformance.check_driver:main"]},
)
