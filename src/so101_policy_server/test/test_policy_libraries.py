# SPDX-License-Identifier: Apache-2.0
"""Policies of other libraries: found by their entry points, held to the protocol, refused in one line."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from laid_package import Install, installer
from so101_policy_server.errors import WrongShapeError
from so101_policy_server.inference import policy_libraries
from so101_policy_server.inference.checked_policy import BrokenContractError, CheckedPolicy
from so101_policy_server.inference.policy_libraries import PolicyLibraryError, find_loader, installed
from so101_policy_server.policy import (
    Leftover,
    Observation,
    PolicyDescription,
    PolicyError,
    PolicyLoadError,
    PolicySource,
    Prediction,
)

MODULE = """
import numpy as np
from so101_policy_server.policy import PolicyDescription, Prediction
class Still:
    description = PolicyDescription("still", "", "cpu", 20, (), 6, 6)
    def infer(self, observation, leftover):
        return Prediction(np.repeat(observation.state[-1:], 20, axis=0))
    def reset(self):
        pass
def load(source, progress):
    return Still()
def one_argument(source):
    return Still()
number = 7
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lay a package with entry points of the group on the import path, as an installer does."""
    return installer(tmp_path, monkeypatch, "so101.policies", MODULE)


def loaded(library: str) -> CheckedPolicy:
    return find_loader(library)(PolicySource("", library=library), lambda _text: None)


def test_lerobot_is_one_library_among_the_installed_ones(install: Install) -> None:
    install("stillness", "still = stillness:load")
    assert "lerobot (so101-policy-server)" in [name.replace("_", "-") for name in installed()]
    assert "still (stillness)" in installed()


def test_a_library_that_is_found_by_its_name_loads_a_policy_that_predicts(install: Install) -> None:
    install("stillness2", "still2 = stillness2:load")
    policy = loaded("still2")
    state = np.arange(6.0)[None]
    prediction = policy.infer(Observation(state, {}, ""), None)
    np.testing.assert_array_equal(prediction.actions, np.repeat(state, 20, axis=0))
    assert prediction.actions.dtype == np.float32
    assert prediction.inference_s > 0


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ((), r"^policy_library = 'mine': no installed package has it; known are .*lerobot"),
        (
            ("mine = nowhere_at_all:load",),
            "nowhere_at_all:load of odd0 cannot be imported: ModuleNotFoundError: No mod",
        ),
        (("mine = odd:missing",), "odd:missing of odd0 cannot be imported: AttributeError: "),
        (("mine = odd:number",), r"odd:number of odd0 is a int: expected a function \(source, progress\) that returns"),
        (
            ("mine = odd:one_argument",),
            r"odd:one_argument of odd0 takes other arguments \(too many .*\): expected a fun",
        ),
    ],
)
def test_a_library_that_cannot_be_used_is_refused_in_one_line(
    install: Install, points: tuple[str, ...], said: str
) -> None:
    install("odd0", *points)
    install("odd")
    with pytest.raises(PolicyLibraryError, match=said) as error:
        find_loader("mine")
    assert "\n" not in str(error.value)


def test_two_packages_with_one_name_are_both_named(install: Install) -> None:
    install("first", "twice = first:load")
    install("second", "twice = second:load")
    with pytest.raises(PolicyLibraryError, match="first:load") as error:
        find_loader("twice")
    assert "second (second:load)" in str(error.value)
    assert "uninstall or rename one of them" in str(error.value)


def test_a_module_that_raises_when_imported_is_one_line(install: Install) -> None:
    install("broken", "broken = broken:load", module="raise RuntimeError('two\\nlines')")
    with pytest.raises(PolicyLibraryError, match=r"broken:load of broken cannot be imported: RuntimeError: two lines$"):
        find_loader("broken")


class Spy:
    def __init__(self, gives: object, description: PolicyDescription | None = None) -> None:
        self.description = description or PolicyDescription("spy", "", "cpu", 20, (), 6, 6)
        self.gives, self.resets = gives, 0

    def infer(self, observation, leftover):
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives

    def reset(self) -> None:
        self.resets += 1


OBSERVATION = Observation(np.zeros((1, 6)), {}, "")


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (
            Prediction(np.zeros((50, 5))),
            r"policy of library 'mine': actions have shape \(50, 5\): expected \(rows, 6\)",
        ),
        (Prediction(np.zeros(6)), r"actions have shape \(6,\): expected \(rows, 6\)"),
        (Prediction(np.zeros((0, 6))), r"actions have shape \(0, 6\): expected \(rows, 6\)"),
        (Prediction(np.full((2, 6), np.nan)), "actions have values that are not finite"),
        (Prediction([["a"] * 6]), "actions are no numbers: could not convert string to float"),
        (np.zeros((50, 6)), "infer returned a ndarray: expected a Prediction"),
        (None, "infer returned a NoneType: expected a Prediction"),
    ],
)
def test_what_is_no_chunk_is_refused_with_both_shapes_and_before_an_arm_waits(gives: object, said: str) -> None:
    policy = CheckedPolicy(Spy(gives), "mine")
    with pytest.raises(BrokenContractError, match=said):
        policy.infer(OBSERVATION, None)
    with pytest.raises(PolicyLoadError, match=said):
        policy.rehearse()


def test_an_error_of_the_policys_own_about_zeros_is_no_reason_not_to_load_it() -> None:
    spy = Spy(PolicyError("nothing to see"))
    CheckedPolicy(spy, "mine").rehearse()
    assert spy.resets == 1
    with pytest.raises(PolicyLoadError, match="policy of library 'mine' cannot run: KeyError: 'x'"):
        CheckedPolicy(Spy(KeyError("x")), "mine").rehearse()


def test_a_policy_without_a_part_of_the_protocol_is_told_which() -> None:
    with pytest.raises(PolicyLoadError, match="SimpleNamespace has no description, no infer, no reset: expected desc"):
        from types import SimpleNamespace

        CheckedPolicy(SimpleNamespace(), "mine")
    with pytest.raises(PolicyLoadError, match="horizon 0, action_dim 6, n_obs_steps 1: expected 1 or more each"):
        CheckedPolicy(Spy(None, PolicyDescription("spy", "", "cpu", 0, (), 6, 6)), "mine")


def test_a_quick_policy_can_be_made_slow() -> None:
    policy = CheckedPolicy(Spy(Prediction(np.zeros((50, 6)))), "mine", min_inference_s=0.2)
    assert policy.infer(OBSERVATION, None).inference_s == pytest.approx(0.2)


def test_arrays_of_the_wrong_shape_are_refused_where_they_are_made_with_both_shapes() -> None:
    with pytest.raises(WrongShapeError, match=r"state has shape \(6,\): expected \(n_obs_steps, joints\)"):
        Observation(np.zeros(6), {}, "")
    with pytest.raises(WrongShapeError, match=r"leftover has shape \(0, 6\): expected \(1 or more rows, joints\)"):
        Leftover(np.zeros((0, 6)), 0)


def test_every_error_of_the_package_has_one_root() -> None:
    """So that a program that uses it needs one `except`."""
    package = Path(policy_libraries.__file__).parents[1]
    bases = {
        node.name: [ast.unparse(base) for base in node.bases]
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    }
    assert len(bases) >= 10

    def root(name: str) -> str:
        return root(bases[name][0]) if bases.get(name, ["Exception"])[0] != "Exception" else name

    assert {name: root(name) for name in bases if root(name) != "PolicyServerError"} == {}


def test_the_server_ends_with_78_and_one_line(tmp_path: Path, install: Install) -> None:
    install("spoilt", "spoilt = spoilt:load", module="oops")
    for library, said in (
        ("wvae", "policy_library = 'wvae': no installed package has it; known are lerobot"),
        ("spoilt", "spoilt:load of spoilt cannot be imported: NameError: name 'oops' is not defined"),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "so101_policy_server.ros.start", "--ros-args", "-p", f"policy_library:={library}"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        told = ended.stdout + ended.stderr
        assert ended.returncode == 78, told
        assert said.partition("known")[0] in told
        assert "Traceback" not in told


class BatchingSpy(Spy):
    def __init__(self, gives: object, batch: object = None) -> None:
        super().__init__(gives, PolicyDescription("spy", "", "cpu", 20, (), 6, 6, batches=True))
        self.batch, self.forgotten = batch, []

    def infer_batch(self, observations, leftovers):
        return [self.gives for _ in observations] if self.batch is None else self.batch

    def forget(self, session: str) -> None:
        self.forgotten.append(session)


def test_a_policy_that_batches_gives_a_checked_chunk_for_each_observation() -> None:
    spy = BatchingSpy(Prediction(np.zeros((20, 6), np.int64)))
    policy = CheckedPolicy(spy, "mine", min_inference_s=0.05)
    policy.rehearse()
    chunks = policy.infer_batch([OBSERVATION] * 3, [None] * 3)
    assert [chunk.actions.dtype for chunk in chunks] == [np.float32] * 3
    assert min(chunk.inference_s for chunk in chunks) >= 0.05
    policy.forget("/one#1")
    assert spy.forgotten == ["/one#1"]


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ([Prediction(np.zeros((20, 6)))], "infer_batch returned 1: expected 2 Predictions"),
        (None, r"actions have shape \(20, 5\): expected \(rows, 6\)"),
        (7, "infer_batch returned a int: expected 2 Predictions"),
    ],
)
def test_a_batch_that_breaks_the_contract_is_found_before_an_arm_waits(batch: object, said: str) -> None:
    gives = Prediction(np.zeros((20, 6 if batch is not None else 5)))
    policy = CheckedPolicy(BatchingSpy(gives, batch), "mine")
    with pytest.raises(BrokenContractError, match=said):
        policy.infer_batch([OBSERVATION] * 2, [None] * 2)
    with pytest.raises(PolicyLoadError, match="expected"):
        policy.rehearse()


def test_a_policy_that_says_that_it_batches_and_cannot_is_told_what_it_lacks() -> None:
    spy = Spy(None, PolicyDescription("spy", "", "cpu", 20, (), 6, 6, batches=True))
    with pytest.raises(
        PolicyLoadError, match="description says batches, Spy has no infer_batch, no forget: expected inf"
    ):
        CheckedPolicy(spy, "mine")
