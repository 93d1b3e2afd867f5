# SPDX-License-Identifier: Apache-2.0
from setuptools import find_packages, setup

package_name = "so101_camera"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "av", "numpy"],
    extras_require={"test": ["pytest", "hypothesis"]},
    zip_safe=True,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="Cameras that stream to people and send their newest frame on each observation request.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "camera = so101_camera.ros.start:main",
            "frame_gate = so101_camera.ros.start:frame_gate",
        ],
        "so101.frame_sources": [
            "file = so101_camera.sources.file_source:FileSource.of",
            "opencv = so101_camera.sources.opencv_source:OpenCvSource",
            "url = so101_camera.sources.url_source:UrlSource",
        ],
        "so101.parameters": [
            "camera = so101_camera.ros.camera_node:CameraParameters",
            "frame_gate = so101_camera.ros.frame_gate_node:FrameGateParameters",
        ],
    },
)
