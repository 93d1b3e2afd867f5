# SPDX-License-Identifier: Apache-2.0
"""Runs the workspace's launch XML where the `launch` package is not installed.

`resolve(file, arguments)` turns a launch file into the list of processes that real `ros2 launch` would start;
`Runner(processes)` starts them, shows their output and ends them. Only the part of the language that the
workspace's files use is known; anything else is an error that names file and line, so that a file that runs here
runs under `ros2 launch` too.
"""

from so101_launch_runner.errors import LaunchFileError
from so101_launch_runner.process_spec import ProcessSpec
from so101_launch_runner.resolve import Argument, declared_arguments, resolve
from so101_launch_runner.runner import Runner

__all__ = ["Argument", "LaunchFileError", "ProcessSpec", "Runner", "declared_arguments", "resolve"]
