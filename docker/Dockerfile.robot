# SPDX-License-Identifier: Apache-2.0
# The robot computer: driver, action queue, cameras on a normal ROS 2 Jazzy. No torch.
#   docker compose -f docker/compose.yaml up robot
FROM ros:jazzy-ros-base

ENV DEBIAN_FRONTEND=noninteractive
WORKDIR /workspace
COPY colcon.meta ./
COPY msg msg
COPY launch launch
COPY config config
# so101_bringup and what it names, no more: no policy server, no simulator, no weights.
COPY src/so101_action_queue src/so101_action_queue
COPY src/so101_bag src/so101_bag
COPY src/so101_camera src/so101_camera
COPY src/so101_correction src/so101_correction
COPY src/so101_description src/so101_description
COPY src/so101_doctor src/so101_doctor
COPY src/so101_driver src/so101_driver
COPY src/so101_launch_runner src/so101_launch_runner
COPY src/so101_link src/so101_link
COPY src/so101_node src/so101_node
COPY src/so101_viewer src/so101_viewer

# Test dependencies stay out. rosdep brings neither PyAV nor the servo SDK, nor what the recorder writes bags with.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-pip \
    && rosdep update \
    && rosdep install --from-paths msg config launch src --ignore-src -y \
        -t buildtool -t buildtool_export -t build -t build_export -t exec \
    && pip install --no-cache-dir --break-system-packages \
        av==15.1.0 feetech-servo-sdk==1.0.0 mcap==1.6.0 zstandard==0.25.0 \
    && rm -rf /var/lib/apt/lists/*

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN source /opt/ros/jazzy/setup.bash && colcon build

COPY --chmod=755 docker/robot_entrypoint.sh docker/healthcheck.py docker/
# ubuntu: the image's own user without rights, uid 1000. Serial port and cameras come through groups (compose.yaml).
# Recorded bags go into a volume of that name, which takes over the folder's owner.
RUN install -d -o ubuntu -g ubuntu outputs/bags
USER 1000:1000
STOPSIGNAL SIGINT
HEALTHCHECK --interval=30s --timeout=20s --start-period=30s \
    CMD ["docker/robot_entrypoint.sh", "python3", "docker/healthcheck.py", "driver_status"]
ENTRYPOINT ["docker/robot_entrypoint.sh"]
CMD ["ros2", "launch", "so101_bringup", "robot.launch.xml"]
