from setuptools import find_packages, setup

package_name = "so101_policy_server"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    # LeRobot has no rosdep key; it brings torch.
    install_requires=["setuptools", "numpy", "lerobot==0.6.1"],
    extras_require={"test": ["pytest", "hypothesis"]},
    zip_safe=False,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="Serves any LeRobot policy to SO-101 arms over ROS 2 topics.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": ["policy_server = so101_policy_server.start:main"],
        "so101.parameters": ["policy_server = so101_policy_server.parameters:ServerParameters"],
    },
)
