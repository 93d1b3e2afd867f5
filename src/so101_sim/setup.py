# SPDX-License-Identifier: Apache-2.0
from setuptools import find_packages, setup

package_name = "so101_sim"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "mujoco>=3.3,<4", "so101-nexus>=0.10,<0.11"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="A virtual SO-101 arm behind an emulated servo bus, with cameras, judge and expert.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "virtual_arm = so101_sim.virtual_arm:main",
            "virtual_cameras = so101_sim.ros.start:virtual_cameras",
            "judge = so101_sim.ros.start:judge",
        ],
        "so101.policies": ["expert = so101_sim.expert.expert_library:load"],
        "so101.parameters": [
            "virtual_cameras = so101_sim.ros.parameters:VirtualCamerasParameters",
            "judge = so101_sim.ros.parameters:JudgeParameters",
        ],
    },
)
