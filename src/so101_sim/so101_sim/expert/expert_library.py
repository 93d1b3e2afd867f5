# SPDX-License-Identifier: Apache-2.0
"""The scripted expert as a library of policies: what the entry point `expert` of the group `so101.policies` names.

MuJoCo is imported and the scene is built when the policy server loads it. pretrained_name_or_path is the run folder of
virtual_arm. It proves the chain from camera to servo before anything is trained; it is the one policy that plans from
the simulator's state, while a trained policy sees only what the robot sends.
"""

from __future__ import annotations

import os
from pathlib import Path

from so101_policy_server.policy import Policy, PolicyLoadError, PolicySource, Progress


def load(source: PolicySource, progress: Progress) -> Policy:
    """Build the scene and the expert; the virtual arm may start later."""
    if not source.path:
        raise PolicyLoadError("pretrained_name_or_path = '': give the folder that virtual_arm was started with")
    progress("building the scene")
    os.environ["MUJOCO_GL"] = "disable"  # importing mujoco must not look for a GL library
    from so101_sim.errors import SimulationError
    from so101_sim.expert.served_expert import ServedExpert

    try:
        return ServedExpert(Path(source.path))
    except SimulationError as error:
        raise PolicyLoadError(str(error)) from error
