# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from setuptools import find_packages, setup

package_name = "so101_bag"

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
    # mcap, rosbags and zstandard have no rosdep key: pip installs them, or `ros2 bag` records instead.
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="Records and replays rosbag2 bags (MCAP) of the robot, and turns them into a LeRobotDataset.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "recorder = so101_bag.start:recorder",
            "replay = so101_bag.replay.__main__:main",
        ],
        "so101.parameters": [
            "recorder = so101_bag.record.recorder_parameters:RecorderParameters",
        ],
    },
)
