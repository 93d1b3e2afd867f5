# SPDX-License-Identifier: Apache-2.0
from setuptools import find_packages, setup

package_name = "so101_bench"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="Measures the chain beside LeRobot's own asynchronous inference, on wires shaped between two hosts.",
    license="Apache-2.0",
    entry_points={
        "so101.policies": ["bench_stand_in = so101_bench.robots.stand_in:load"],
    },
)
