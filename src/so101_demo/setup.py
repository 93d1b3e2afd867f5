# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from setuptools import find_packages, setup

package_name = "so101_demo"

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
    # imageio-ffmpeg, which carries an ffmpeg, has no rosdep key: on an apt install the system's ffmpeg does its work.
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="The demo: the virtual arm driven through the whole chain, its report and its film.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "demo = so101_demo.__main__:main",
            "observer = so101_demo.start:observer",
            "film_recorder = so101_demo.start:film_recorder",
            "late_wire = so101_demo.start:late_wire",
        ],
        "so101.parameters": [
            "observer = so101_demo.observer.observer_node:ObserverParameters",
            "film_recorder = so101_demo.film.film_recorder_node:FilmRecorderParameters",
            "late_wire = so101_demo.late_wire_node:LateWireParameters",
        ],
    },
)
