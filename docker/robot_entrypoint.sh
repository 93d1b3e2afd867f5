#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run a command in the workspace's environment.
source /opt/ros/jazzy/setup.bash
source /workspace/install/setup.bash
# compose.yaml writes `name:=` where a variable is not set, and `ros2 launch` takes that for a mistake.
words=()
for word in "$@"; do
    [[ $word == *:= ]] || words+=("$word")
done
exec "${words[@]}"
