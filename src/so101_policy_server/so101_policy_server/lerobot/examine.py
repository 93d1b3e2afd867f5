# SPDX-License-Identifier: Apache-2.0
"""Everything of a checkpoint that can be looked at before its weights are loaded, for the server and the doctor.

Part of the adaptor to LeRobot; only `lerobot_policy` and the doctor import this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import safe_open

from so101_policy_server.core.preflight import Finding, Verdict, accept, refusal, warnings, yellow
from so101_policy_server.lerobot.checkpoint import WEIGHTS, Checkpoint
from so101_policy_server.lerobot.checkpoint_parts import describe, load_config, load_processors
from so101_policy_server.lerobot.files import examine_files
from so101_policy_server.lerobot.kinds import reads_language
from so101_policy_server.lerobot.statistics import examine_statistics, joint_statistics, use_statistics_from
from so101_policy_server.lerobot.training_record import TrainingRecord, damage_of_record, read_training_record
from so101_policy_server.policy import PolicyDescription, PolicyLoadError, PolicySource


@dataclass(frozen=True, slots=True)
class Examined:
    """A checkpoint whose configuration and processors are loaded, and what was found about them."""

    config: Any
    description: PolicyDescription
    preprocessor: Any
    postprocessor: Any
    findings: tuple[Finding, ...]


def examine(checkpoint: Checkpoint, source: PolicySource) -> Examined:
    """Load configuration and processors for real, as the server does, and look at them. No weights are loaded.

    Raises:
        RefusedError: another LeRobot wrote them.
        PolicyLoadError: they cannot be loaded for another reason.
    """
    files = list(accept(examine_files(checkpoint, source.ignored_config_fields), source.accepted_findings))
    if any(finding.verdict is Verdict.RED for finding in files):
        raise RefusedError(checkpoint, files)
    config = load_config(checkpoint, source)
    description = describe(checkpoint.path, config, source.device)
    preprocessor, postprocessor = load_processors(checkpoint, config, source.device)
    idle = use_statistics_from(source.statistics_from, preprocessor, postprocessor) if source.statistics_from else []
    findings = examine_statistics(
        config, preprocessor, postprocessor, _weight_names(checkpoint), source.statistics_from
    )
    if not any(finding.key == "statistics" and finding.verdict is Verdict.RED for finding in findings):
        findings = idle + findings  # else that line names the patterns
    findings = files + findings
    findings += [yellow("adapter", note) for note in checkpoint.notes]
    if checkpoint.is_local and (damage := damage_of_record(Path(checkpoint.path))):
        findings.append(yellow("training", f"{damage}; what it says about units is not known"))
    found = accept(findings, source.accepted_findings)
    record = read_training_record(Path(checkpoint.path)) if checkpoint.is_local else TrainingRecord()
    description = replace(
        description,
        warnings=warnings(found),
        reads_task=reads_language(config, preprocessor),
        statistics=joint_statistics(preprocessor, postprocessor),
        trained_in_degrees=record.use_degrees,
    )
    return Examined(config, description, preprocessor, postprocessor, found)


def refuse_what_is_red(checkpoint: Checkpoint, findings: Iterable[Finding]) -> None:
    """Raise RefusedError where anything is red."""
    found = tuple(findings)
    if refusal(found):
        raise RefusedError(checkpoint, found)


class RefusedError(PolicyLoadError):
    """Something is red. The message has the words of all that is; `findings` has the rest as well."""

    def __init__(self, checkpoint: Checkpoint, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(f"{checkpoint.path}: {refusal(self.findings)}")


def _weight_names(checkpoint: Checkpoint) -> list[str]:
    file = Path(checkpoint.path) / WEIGHTS
    if not checkpoint.is_local or not file.is_file():
        return []
    with safe_open(file, framework="pt") as weights:
        return list(weights.keys())
