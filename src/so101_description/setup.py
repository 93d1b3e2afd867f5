# SPDX-License-Identifier: Apache-2.0
from setuptools import find_packages, setup

package_name = "so101_description"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
        (f"share/{package_name}/urdf", ["urdf/so101.urdf", "urdf/so101_meshes.urdf"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="URDF of the SO-101 follower arm, its cameras' frames, and its forward kinematics.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "robot_description = so101_description.robot_description:main",
            "state_publisher = so101_description.state_publisher:main",
        ],
    },
)
