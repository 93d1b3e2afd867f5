from pathlib import Path

from setuptools import find_packages, setup

package_name = "so101_tools"


def checkpoint_files() -> list[tuple[str, list[str]]]:
    """Return the shipped checkpoints, one entry per folder, as setuptools wants them."""
    folders = sorted(path for path in Path("policies").glob("*") if path.is_dir())
    return [
        (f"share/{package_name}/{folder}", sorted(str(file) for file in folder.iterdir() if file.is_file()))
        for folder in folders
    ]


setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
        *checkpoint_files(),
    ],
    # imageio-ffmpeg, which carries an ffmpeg, has no rosdep key: on an apt install the system's ffmpeg does its work.
    # Neither have mcap and rosbags, for recording and replay: pip installs them, or `ros2 bag` records instead.
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="SO-101 remote policy maintainers",
    maintainer_email="maintainers@example.org",
    description="Demo, observer, launch runner and policy tools of the SO-101 remote-policy workspace.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "cameras = so101_tools.cameras.__main__:main",
            "demo = so101_tools.demo.__main__:main",
            "doctor = so101_tools.doctor.__main__:main",
            "observer = so101_tools.observer.observer_node:main",
            "recorder = so101_tools.record.recorder_node:main",
            "replay = so101_tools.replay.__main__:main",
            "film_recorder = so101_tools.film.film_recorder_node:main",
            "queue_plot = so101_tools.queue_plot.queue_plot_node:main",
            "gripper_path = so101_tools.view.gripper_path_node:main",
            "numbers = so101_tools.view.numbers_node:main",
            "view = so101_tools.view.view_node:main",
            # view.launch.xml starts these by the names of the programs that they become.
            "rviz2 = so101_tools.view.desktop_program:main",
            "rqt_gui = so101_tools.view.desktop_program:main",
            "plotjuggler = so101_tools.view.desktop_program:main",
            "aggregator_node = so101_tools.view.desktop_program:main",
        ],
        "so101.parameters": [
            "observer = so101_tools.observer.observer_node:ObserverParameters",
            "recorder = so101_tools.record.recorder_parameters:RecorderParameters",
            "queue_plot = so101_tools.queue_plot.queue_plot_node:QueuePlotParameters",
            "view = so101_tools.view.view_parameters:ViewParameters",
            "gripper_path = so101_tools.view.gripper_path_parameters:GripperPathParameters",
            "numbers = so101_tools.view.numbers_node:NumbersParameters",
            "film_recorder = so101_tools.film.film_recorder_node:FilmRecorderParameters",
        ],
    },
)
