#!/bin/bash
# Run a command in the workspace's environment.
source /opt/ros/jazzy/setup.bash
source /workspace/install/setup.bash
exec "$@"
