# SPDX-License-Identifier: Apache-2.0
from setuptools import find_packages, setup

package_name = "so101_link"

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
    description="Joins robot and policy server by one encrypted TCP connection; makes and reads the keys for it.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "link = so101_link.keys.__main__:main",
            "link_robot = so101_link.ros.start:link_robot",
            "link_server = so101_link.ros.start:link_server",
        ],
        "so101.parameters": [
            "link_robot = so101_link.ros.parameters:LinkRobotParameters",
            "link_server = so101_link.ros.parameters:LinkServerParameters",
        ],
    },
)
