# SPDX-License-Identifier: Apache-2.0
"""The page's driver with one line changed for the worse: the suite names the rule that it breaks."""

import sys
from pathlib import Path

import pytest
from contract_run import check, page_files

WORSE = {
    "NO-JUMP": (
        "        self.goal = np.clip(self.goal + self.velocity * PERIOD_S, LOWER, UPPER)\n",
        "        self.goal = self.target\n",
        "the goal of ",
    ),
    "HOLD-ON-SILENCE": ("SILENCE_S = 0.02, 0.2, 0.3", "SILENCE_S = 0.02, 0.2, 1e9", "commands stopped 1.5 s ago"),
    "NEVER-FROM-AFAR": ("NEAR_RAD, SILENCE_S = 0.02, 0.2", "NEAR_RAD, SILENCE_S = 0.02, 9.9", "engaged it"),
    "WITHIN-LIMITS": ("np.clip(wanted, LOWER, UPPER)", "wanted", "outside lower..upper"),
    "ALL-OR-NOTHING": ("at.get(name, np.nan)", "at.get(name, 0.0)", "engaged the driver"),
    "NAMES-DECIDE": (
        "np.array([at.get(name, np.nan) for name in NAMES])",
        "np.array(message.position if len(at) == 5 else [np.nan] * 5)",
        "",
    ),
    "STOP-LATCHES": ("near and self.state == DriverStatus.HOLD", "near", "a command ended the emergency stop"),
    "CAUSE-IS-NAMED": ('"EMERGENCY_STOP"', '"stopped"', "expected a constant"),
    "ONE-ID-A-START": ("secrets.randbits(63) | 1", "1", "the same after a restart"),
    "STATUS-KEEPS-COMING": ("if self.ticks % 5 == 0:", "if self.ticks % 50 == 0:", "without driver_status"),
    "STATES-KEEP-COMING": ("self.states.publish(state)", "self.ticks % 9 or self.states.publish(state)", "Hz"),
    "ONE-SET-OF-JOINTS": ("JointState(name=NAMES,", "JointState(name=NAMES[:4],", "joint_states names"),
}
FAST = ("NO-JUMP", "HOLD-ON-SILENCE")
SLOW = sorted(set(WORSE) - set(FAST))


@pytest.mark.parametrize("rule", [*FAST, *(pytest.param(rule, marks=pytest.mark.long) for rule in SLOW)])
def test_a_driver_that_breaks_a_rule_is_told_which(rule: str, tmp_path: Path) -> None:
    good, bad, said = WORSE[rule]
    source = page_files()["five_joint_driver.py"]
    assert source.count(good) >= 1
    if rule == "WITHIN-LIMITS":  # both places that keep it
        twice = "self.goal + self.velocity * PERIOD_S"
        source = source.replace(f"np.clip({twice}, LOWER, UPPER)", twice)
    (tmp_path / "driver.py").write_text(source.replace(good, bad))
    code, lines = check(tmp_path, "--rule", rule, sys.executable, "driver.py")
    assert code == 1
    (line,) = lines
    assert line.startswith(f"BROKEN   {rule}: ")
    assert said in line


def test_a_command_that_ends_at_once_is_one_line_with_its_last_word(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text("raise SystemExit('no motors found')\n")
    code, lines = check(tmp_path, "--rule", "COMES-UP-HOLDING", sys.executable, "driver.py")
    assert code == 1
    assert lines == ["BROKEN   COMES-UP-HOLDING: the driver ended with exit code 1: no motors found"]
