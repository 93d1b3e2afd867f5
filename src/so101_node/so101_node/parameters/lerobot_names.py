# SPDX-License-Identifier: Apache-2.0
"""Where the options of LeRobot live here: people know them, and look for them in our parameter files.

Only for names that the node asked does not declare itself. A test compares the list with LeRobot's own configurations.
"""

from typing import Final

_DRIVER = "so101_driver"
_CAMERA = "the camera node"
_QUEUE = "action_queue"
_SERVER = "policy_server"
_CHECKPOINT = "it is read from the checkpoint"
_TRAINING = "it belongs to training, and the checkpoint has it"
_DATASET = "recording a dataset is `./so101 record`, then `./so101 dataset`"

HERE: Final[dict[str, str]] = {
    # The robot: lerobot.robots.so_follower.
    "id": f"robot_id of {_DRIVER}",
    "robot.type": "nothing to set: this is a driver of the SO-101 follower",
    "port": f"port of {_DRIVER} for the serial port; the policy server needs no TCP port, `server_address:=` of "
    "robot.launch.xml says where it is",
    "calibration_dir": f"calibration_dir of {_DRIVER}",
    "disable_torque_on_disconnect": f"release_on_exit of {_DRIVER}; a raised arm falls if true",
    "max_relative_target": f"max_joint_speed_rad_s of {_DRIVER}, a list of rad/s; N degrees per command at 30 Hz are "
    "0.52 x N rad/s",
    "use_degrees": f"units of {_QUEUE} and {_SERVER}: degrees for true, normalized for false",
    "position_p_coefficient": f"position_p_coefficient of {_DRIVER}",
    "position_i_coefficient": f"position_i_coefficient of {_DRIVER}",
    "position_d_coefficient": f"position_d_coefficient of {_DRIVER}",
    "num_read_retries": f"nothing to set: {_DRIVER} reads 60 times a second; reply_timeout_s bounds one reply",
    # Cameras: lerobot.cameras.opencv.
    "index_or_path": f"device of {_CAMERA}",
    "color_mode": "nothing to set: frames travel as JPEG, the policy gets RGB",
    "rotation": f"rotation of {_CAMERA}",
    "warmup_s": "nothing to set: frames are used as soon as the camera gives them",
    "backend": "nothing to set: V4L2 for devices, FFmpeg for files",
    "width": f"width of {_CAMERA}",
    "height": f"height of {_CAMERA}",
    "fourcc": f"fourcc of {_CAMERA}",
    # Asynchronous inference: lerobot.async_inference.
    "host": "nothing to set: DDS finds the server; `server_address:=` of robot.launch.xml where multicast does not",
    "server_address": "`server_address:=` of robot.launch.xml, an address without a port; it is no parameter",
    "robot": f"port and robot_id of {_DRIVER}; each camera is a node of its own with device",
    "client_device": "nothing to set: the robot computer runs no torch",
    "environment_dt": f"fps of {_QUEUE}",
    "debug_visualize_queue_size": "`debug_visualize_queue_size:=true` of robot.launch.xml; it is no parameter",
    "policy_type": f"policy_type of {_QUEUE} and {_SERVER}",
    "pretrained_name_or_path": f"pretrained_name_or_path of {_QUEUE} and {_SERVER}",
    "actions_per_chunk": f"actions_per_chunk of {_QUEUE}",
    "task": f"task of {_QUEUE}",
    "policy_device": f"policy_device of {_SERVER}",
    "chunk_size_threshold": f"chunk_size_threshold of {_QUEUE}",
    "fps": f"fps of {_QUEUE}, {_SERVER} and the camera nodes",
    "aggregate_fn_name": f"aggregate_fn_name of {_QUEUE}",
    "inference_latency": f"inference_latency of {_SERVER}",
    "obs_queue_timeout": f"obs_queue_timeout of {_SERVER}",
    "cameras": f"cameras of {_QUEUE} for their names; each camera is a node of its own with device, width, height, fps",
    # Policies: lerobot.configs.policies, act, rtc; and names that older versions or other clients use.
    "policy": f"pretrained_name_or_path of {_QUEUE} or {_SERVER}",
    "policy_path": f"pretrained_name_or_path of {_QUEUE} or {_SERVER}",
    "path": f"pretrained_name_or_path of {_QUEUE} or {_SERVER} for a policy, device of {_CAMERA} for a camera",
    "pretrained_path": f"pretrained_name_or_path of {_QUEUE} or {_SERVER}",
    "pretrained_revision": "nothing to set: download the revision, and give its folder as pretrained_name_or_path",
    "device": f"policy_device of {_SERVER} for the policy, device of {_CAMERA} for a camera",
    "chunk_size": f"actions_per_chunk of {_QUEUE}, at most the chunk_size in the checkpoint",
    "n_action_steps": f"actions_per_chunk of {_QUEUE}; how many rows are executed before the next chunk: "
    "chunk_size_threshold",
    "aggregate_fn": f"aggregate_fn_name of {_QUEUE}",
    "temporal_ensemble_coeff": f"temporal_ensemble_coeff of {_QUEUE}, with aggregate_fn_name: temporal_ensemble",
    "rename_map": f"rename_from and rename_to of {_SERVER}, two lists",
    "n_obs_steps": f"{_CHECKPOINT}",
    "input_features": _CHECKPOINT,
    "output_features": _CHECKPOINT,
    "normalization_mapping": _CHECKPOINT,
    "use_amp": _CHECKPOINT,
    "use_peft": _CHECKPOINT,
    "push_to_hub": _TRAINING,
    "repo_id": _TRAINING,
    "private": _TRAINING,
    "tags": _TRAINING,
    "license": _TRAINING,
    "rtc": f"aggregate_fn_name: rtc of {_QUEUE}",
    "rtc_config": f"aggregate_fn_name: rtc of {_QUEUE}",
    "enabled": f"aggregate_fn_name: rtc of {_QUEUE} for real-time chunking",
    "execution_horizon": "nothing to set: real-time chunking takes it from the rows that are left",
    "prefix_attention_schedule": "nothing to set: real-time chunking runs with LeRobot's default",
    "max_guidance_weight": "nothing to set: real-time chunking runs with LeRobot's default",
    "debug": "`--ros-args --log-level debug`",
    "debug_maxlen": "nothing to set: the decision log (`./so101 record`) has everything",
    # lerobot-record and lerobot-rollout.
    "single_task": f"task of {_QUEUE}",
    "episode_time_s": _DATASET,
    "reset_time_s": _DATASET,
    "num_episodes": _DATASET,
    "root": _DATASET,
    "display_data": "`./so101 view`",
    "log_level": "`--ros-args --log-level debug`",
}
"""LeRobot's name, without the configurations around it (robot., policy., cameras.NAME.): where that is here."""


def where(key: str) -> str:
    """Return where LeRobot's option `key` lives here, or "" where LeRobot has none of that name."""
    return HERE.get(key) or HERE.get(key.rpartition(".")[2].replace("-", "_"), "")
