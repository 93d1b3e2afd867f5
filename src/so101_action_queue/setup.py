# SPDX-License-Identifier: Apache-2.0
from setuptools import find_packages, setup

package_name = "so101_action_queue"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy"],
    extras_require={"test": ["pytest", "hypothesis"]},
    zip_safe=True,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="Keeps an SO-101 arm moving while a remote policy computes the next chunk of actions.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": ["action_queue = so101_action_queue.ros.start:main"],
        "so101.parameters": ["action_queue = so101_action_queue.ros.parameters:QueueParameters"],
    },
)
