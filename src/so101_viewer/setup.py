# SPDX-License-Identifier: Apache-2.0
from setuptools import find_packages, setup

package_name = "so101_viewer"

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
    description="Shows a running robot: the page in the browser, the image of the queue, the path of the gripper.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "queue_plot = so101_viewer.start:queue_plot",
            "gripper_path = so101_viewer.start:gripper_path",
            "numbers = so101_viewer.start:numbers",
            "view = so101_viewer.start:view",
            # view.launch.xml starts these by the names of the programs that they become.
            "rviz2 = so101_viewer.view.desktop_program:main",
            "rqt_gui = so101_viewer.view.desktop_program:main",
            "plotjuggler = so101_viewer.view.desktop_program:main",
            "aggregator_node = so101_viewer.view.desktop_program:main",
        ],
        "so101.parameters": [
            "queue_plot = so101_viewer.queue_plot.queue_plot_node:QueuePlotParameters",
            "view = so101_viewer.view.view_parameters:ViewParameters",
            "gripper_path = so101_viewer.view.gripper_path_parameters:GripperPathParameters",
            "numbers = so101_viewer.view.numbers_node:NumbersParameters",
        ],
    },
)
