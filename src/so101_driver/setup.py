# SPDX-License-Identifier: Apache-2.0
"""Package so101_driver."""

from setuptools import find_packages, setup

PACKAGE = "so101_driver"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={PACKAGE: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "pyserial", "feetech-servo-sdk"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="Driver of an SO-101 follower arm: servo bus, LeRobot calibration, safety gate.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "so101_driver = so101_driver.ros.start:main",
            "driver_pair = so101_driver.ros.start_pair:main",
            "configure_servos = so101_driver.configure.configure_servos:main",
        ],
        "so101.parameters": [
            "so101_driver = so101_driver.ros.driver_parameters:DriverParameters",
            "driver_pair = so101_driver.ros.pair_parameters:DriverPairParameters",
        ],
    },
)
