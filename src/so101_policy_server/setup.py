# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from setuptools import find_packages, setup

package_name = "so101_policy_server"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        ("share/ament_index/resource_index/so101_launch_files", [f"resource/so101_launch_files/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
        (f"share/{package_name}/launch", sorted(map(str, Path("launch").glob("*.launch.xml")))),
    ],
    # LeRobot has no rosdep key; it brings torch.
    install_requires=["setuptools", "numpy", "lerobot==0.6.1"],
    extras_require={"test": ["pytest", "hypothesis"], "ray": ["ray==2.60.0"]},
    zip_safe=False,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="Serves any LeRobot policy to SO-101 arms over ROS 2 topics.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": ["policy_server = so101_policy_server.ros.start:main"],
        "so101.policies": ["lerobot = so101_policy_server.lerobot.library:load"],
        "so101.parameters": ["policy_server = so101_policy_server.parameters:ServerParameters"],
    },
)
