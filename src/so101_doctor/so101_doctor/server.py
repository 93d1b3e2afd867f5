# SPDX-License-Identifier: Apache-2.0
"""The policy server's half: libraries of policies, LeRobot, the compute device, the checkpoint."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from so101_policy_server.inference.policy_libraries import PolicyLibraryError, find_loader, installed
from so101_policy_server.lerobot.checkpoint import find_checkpoint
from so101_policy_server.policy import LEROBOT, PolicyLoadError

from so101_doctor.check import Check, Checks, Light, Part
from so101_doctor.deployment import Deployment, read_deployment
from so101_doctor.errors import DeploymentError

_PART = Part("server")
_LEROBOT = "0.6.1"


def check_server(checkpoint: str, config: Path | None = None, *, expected: bool) -> Checks:
    """Installed libraries, LeRobot's version, torch's device, and the checkpoint with its deployment.

    Nothing is downloaded. Where the deployment names another library than LeRobot, that one is imported instead.

    Args:
        checkpoint: policy folder, run folder or hub id; "" = what the deployment names.
        config: YAML file of the deployment, for units, task and cameras; None = the server's defaults.
        expected: this machine is to be the server, so that a missing LeRobot is a fault.
    """
    yield _PART.green("policy libraries", ", ".join(installed()))
    deployment = None
    try:
        deployment = read_deployment(config)
    except DeploymentError as error:
        yield _PART.red("deployment", str(error))
    if deployment is not None and deployment.server.policy_library != LEROBOT:
        yield _check_library(deployment.server.policy_library)
        return
    try:
        version = importlib.metadata.version("lerobot")
    except importlib.metadata.PackageNotFoundError:
        text, remedy = "not installed", "./so101 setup server, or pip install lerobot==" + _LEROBOT
        yield (
            _PART.red("LeRobot", text, remedy) if expected else _PART.yellow("LeRobot", text, "only a server needs it")
        )
        return
    if version == _LEROBOT:
        yield _PART.green("LeRobot", version)
    else:
        yield _PART.yellow("LeRobot", f"{version}; tried with {_LEROBOT}", f"pip install lerobot=={_LEROBOT}")
    yield from _check_device()
    if deployment is None:
        return
    named = checkpoint or deployment.server.pretrained_name_or_path
    if named:
        yield from _check_checkpoint(named, deployment)


def _check_library(library: str) -> Check:
    try:
        find_loader(library)
    except PolicyLibraryError as error:
        return _PART.red("policy library", str(error))
    return _PART.green("policy library", f"{library} can be imported; the server loads its policy when it starts")


def _check_device() -> Checks:
    if importlib.util.find_spec("torch") is None:
        yield _PART.red("torch", "not installed", "./so101 setup server")
        return
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        yield _PART.green("device", f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free (policy_device: cuda)")
    elif torch.backends.mps.is_available():
        yield _PART.green("device", "Apple GPU (policy_device: mps)")
    else:
        yield _PART.yellow(
            "device", f"no GPU; CPU threads: {torch.get_num_threads()}; enough for ACT (policy_device: cpu)"
        )


def _check_checkpoint(name_or_path: str, deployment: Deployment) -> Checks:
    parameters = deployment.server
    try:
        found = find_checkpoint(name_or_path, parameters.base_model_name_or_path)
    except PolicyLoadError as error:
        yield _PART.red("checkpoint", str(error))
        return
    if not found.is_local:
        text = f"no folder {found.path} here: taken for a hub id, which the server fetches when it starts"
        yield _PART.yellow("checkpoint", text, "if a folder is meant: check its name, and where this was started")
        return
    size = sum(file.stat().st_size for file in Path(found.path).iterdir() if file.is_file())
    yield _PART.green("checkpoint", f"{found.path}: {found.policy_type}, {size / 1e6:.0f} MB")
    from so101_doctor.checkpoint import look_into

    for finding in look_into(found, deployment, is_deployed=name_or_path == parameters.pretrained_name_or_path):
        yield Check(_PART.name, finding.key, Light(finding.verdict.value), finding.text, finding.remedy)
