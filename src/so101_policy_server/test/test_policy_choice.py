# SPDX-License-Identifier: Apache-2.0
"""Which policy a path means, and what may be loaded for it."""

from __future__ import annotations

from dataclasses import replace

from so101_policy_server.core.policy_choice import PolicyChoice, is_admitted, names_same_policy
from so101_policy_server.policy import OF_ONE_CHECKPOINT, PolicySource

OWN = PolicySource("models/pick/", policy_type="act", device="cuda", torch_threads=2)
CHOICE = PolicyChoice(OWN, allowed=("models/*", "lab/../x"))
NONE_OF_ITS_OWN = PolicyChoice(PolicySource(""), allowed=("models/*",))


def test_the_same_folder_is_recognised_in_several_spellings() -> None:
    for path in ("models/pick", "models/pick/", "models/./pick", "/resolved"):
        assert names_same_policy(path, OWN, "/resolved")
    assert not names_same_policy("models/other", OWN, "/resolved")


def test_no_path_means_the_servers_own_policy_and_not_whatever_is_loaded() -> None:
    assert CHOICE.is_met("", OWN)
    assert not CHOICE.is_met("", PolicySource("models/place"))
    assert CHOICE.source("") is OWN


def test_no_path_means_any_policy_where_the_server_has_none_of_its_own() -> None:
    assert NONE_OF_ITS_OWN.is_met("", PolicySource("models/place"))
    assert NONE_OF_ITS_OWN.source("") is None


def test_what_is_loaded_for_a_robot_is_its_own_or_admitted_and_keeps_the_servers_settings() -> None:
    assert CHOICE.source("models/./pick", "smolvla", "cpu") is OWN
    assert CHOICE.source("models/place", "smolvla") == PolicySource("models/place", "smolvla", "cuda", 2)
    assert CHOICE.source("models/place", device="cpu") == PolicySource("models/place", "", "cpu", 2)
    assert CHOICE.source("elsewhere/place") is None


def test_a_path_that_climbs_is_admitted_only_literally() -> None:
    assert not is_admitted("models/../etc", CHOICE.allowed)
    assert is_admitted("lab/../x", CHOICE.allowed)


def test_what_is_said_of_the_servers_own_checkpoint_is_not_said_of_another() -> None:
    own = replace(
        OWN, **{name: "lab/base" if name == "base_model_name_or_path" else ("x",) for name in OF_ONE_CHECKPOINT}
    )
    choice = PolicyChoice(own, allowed=("models/*",))
    assert choice.source("models/pick") is own
    assert choice.source("models/place") == PolicySource("models/place", "", "cuda", 2)
