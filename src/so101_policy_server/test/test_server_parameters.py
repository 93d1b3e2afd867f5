# SPDX-License-Identifier: Apache-2.0
"""Parameters: what is accepted, what the core makes of them, and that the shipped file fits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from so101_node.parameters import ParameterError, build
from so101_node.protocol.units import Units
from so101_policy_server.parameters import ServerParameters

SHIPPED = Path(__file__).parents[3] / "config" / "policy_server.yaml"


def test_lerobots_parameters_keep_lerobots_defaults() -> None:
    parameters = ServerParameters()
    assert (parameters.actions_per_chunk, parameters.fps, parameters.inference_latency) == (50, 30.0, 0.033)
    assert (parameters.obs_queue_timeout, parameters.policy_device, parameters.task) == (1.0, "cpu", "")


def test_the_core_gets_every_parameter() -> None:
    config = build(
        ServerParameters,
        {
            "pretrained_name_or_path": "run",
            "policy_type": "act",
            "policy_device": "cuda:1",
            "units": "normalized",
            "torch_threads": 2,
            "min_inference_s": 0.1,
            "allow_download": True,
            "rename_from": ["a"],
            "rename_to": ["b"],
            "cameras": ["front"],
            "allowed_policies": ["/models/*"],
            "inference_timeout_s": 5.0,
        },
    ).config()
    source = config.source
    assert (source.path, source.policy_type, source.device) == ("run", "act", "cuda:1")
    assert (source.torch_threads, source.min_inference_s, source.allow_download) == (2, 0.1, True)
    assert (config.served.units, config.served.rename_map) == (Units.NORMALIZED, {"a": "b"})
    assert (config.cameras, config.allowed_policies, config.inference_timeout_s) == (("front",), ("/models/*",), 5.0)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"policy_device": "gpu"}, "policy_device = 'gpu': must be cpu, cuda, cuda:N or mps"),
        ({"actions_per_chunk": 5}, "actions_per_chunk = 5: must be 10 to 100"),
        ({"fps": 100.0}, "fps = 100.0: must be 10 to 60"),
        ({"units": "radians"}, "units = 'radians': must be one of degrees, normalized"),
        ({"max_policies_mb": 500, "optimize": "auto"}, "max_policies_mb = 500: must be 0 where optimize is auto"),
        ({"max_policies_mb": 500, "replicas": 2}, "max_policies_mb = 500: must be 0 where replicas is 2"),
        ({"rename_from": ["a"]}, r"rename_from = \['a'\]: must have as many keys as rename_to"),
        ({"cameras": ["front", "front"]}, r"cameras = \['front', 'front'\]: must not have a name twice"),
        (
            {"statistics_from": ["so100.*"]},
            "statistics_from = .*: is of the server's own policy: set pretrained_name_or",
        ),
        ({"joint_names": []}, r"joint_names = \[\]: must name the policy's joints"),
        ({"server_name": ""}, "server_name = '': must have 1 to 64 characters"),
        ({"replicas": 2, "policy_device": "cuda:1"}, "policy_device = 'cuda:1': must be cpu or cuda where replicas"),
        ({"replicas": 2, "ray_address": "auto"}, "ray_address = 'auto': must be host:port"),
        ({"min_inference_s": 20.0}, "min_inference_s = 20: must be below inference_timeout_s"),
        (
            {"inference_latency": 1.0, "inference_timeout_s": 0.5},
            r"inference_latency = 1: must be at most inference_timeout_s \(0.5\)",
        ),
        ({"rename_from": ["a", "b"], "rename_to": ["c", "c"]}, r"rename_to = \['c', 'c'\]: must not have a name twice"),
        ({"task": "x" * 1025}, "parameter task = 'xxx.*: 1025 characters, at most 1024 fit a message"),
        ({"joint_names": [f"joint_{number}" for number in range(33)]}, "joint_names: 33 entries, at most 32"),
        ({"cameras": ["x" * 65]}, "cameras = 'xxx.*: 65 characters, at most 64 fit a message"),
    ],
)
def test_what_is_not_accepted_names_key_value_and_remedy(values, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        build(ServerParameters, values)


def test_every_key_of_the_shipped_file_is_a_parameter_with_its_default() -> None:
    if not SHIPPED.is_file():
        pytest.skip("not in the workspace")
    shipped = yaml.safe_load(SHIPPED.read_text())["/**"]["ros__parameters"]
    assert build(ServerParameters, shipped) == ServerParameters()
    left_out = {field.name for field in dataclasses.fields(ServerParameters)} - set(shipped)
    lists = {"allowed_policies", "robots", "cameras", "rename_from", "rename_to"}
    assert left_out == lists | {"statistics_from", "accepted_findings", "ignored_config_fields"}
