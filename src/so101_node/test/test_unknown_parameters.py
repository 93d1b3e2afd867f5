# SPDX-License-Identifier: Apache-2.0
"""What is said about a parameter that a node does not have, and about a section that no node takes."""

import pytest
from so101_node.parameters.files import Section
from so101_node.parameters.unknown import look, lost_sections

DRIVER = {"niceness", "port", "robot_id", "max_joint_speed_rad_s", "stall_time_s", "use_sim_time"}


class Nodes:
    """Three nodes of ours."""

    def node_names(self):
        return set(self.declared())

    def declared(self):
        return {"camera": {"device", "fps"}, "so101_driver": DRIVER, "policy_server": {"fps", "policy_device"}}

    def declarers(self, key: str):
        return [name for name, names in self.declared().items() if key in names]


def judged(*keys: str, known=DRIVER, sections=(), name: str = "/left/so101_driver"):
    return look(name, keys, known, sections, Nodes())


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("max_joint_speed", "did you mean max_joint_speed_rad_s?"),
        ("max_joint_sped_rad_s", "did you mean max_joint_speed_rad_s?"),
        ("Max-Joint-Speed-rad-s", "did you mean max_joint_speed_rad_s?"),
        ("motion.stall_time", "did you mean stall_time_s?"),
        ("policy_devise", "so101_driver has nothing like it; did you mean policy_device of policy_server?"),
        ("max_relative_target", "LeRobot's name; here: max_joint_speed_rad_s of so101_driver"),
        ("robot.id", "LeRobot's name; here: robot_id of so101_driver"),
        ("observation_steps", "nothing to set any more"),
        ("nice", "its name is niceness now"),
        ("max_joint_speed_rad_s.gripper", "max_joint_speed_rad_s takes one value or list, no keys below it"),
        ("qwertz", "so101_driver has nothing like it; its parameters: max_joint_speed_rad_s, niceness, port"),
    ],
)
def test_an_unknown_key_is_told_with_what_was_probably_meant(key: str, advice: str) -> None:
    (error,) = judged(key).errors
    assert error.startswith(f"unknown parameter {key}: {advice}"), error


def test_a_key_of_another_node_is_sent_there() -> None:
    (error,) = look("/top", ["stall_time_s"], {"device"}, (), Nodes()).errors
    assert error == "unknown parameter stall_time_s: top has none of that name, so101_driver has: put it there"


def test_a_name_of_lerobot_that_the_node_declares_is_no_error() -> None:
    assert judged("port", "use_sim_time", "qos_overrides./joint_states.publisher.depth").errors == ()


def test_the_place_is_the_last_one_that_gives_the_value() -> None:
    files = [
        Section("/**/so101_driver", "a.yaml", {"prt": 3}),
        Section("/**/action_queue", "a.yaml", {"prt": 9}),
        Section("/**", "b.yaml", {"prt": 4}),
    ]
    assert (
        judged("prt", sections=files[:2])
        .errors[0]
        .startswith("unknown parameter prt (a.yaml:3, section /**/so101_driver): ")
    )
    assert "(b.yaml:4, section /**)" in judged("prt", sections=files).errors[0]
    assert "(-p prt)" in judged("prt", sections=[Section("/**", "", {"prt": 0})]).errors[0]


def test_under_the_section_for_all_nodes_a_key_may_be_for_another_one() -> None:
    shared = [Section("/**", "a.yaml", {"fps": 3, "fsp": 4})]
    found = judged("fps", "fsp", sections=shared)
    assert found.foreign == ("fps",)
    assert len(found.errors) == 1 and "fsp" in found.errors[0]
    own = [*shared, Section("/left/so101_driver", "a.yaml", {"fps": 9})]
    assert "unknown parameter fps (a.yaml:9" in judged("fps", sections=own).errors[0]
    assert judged("fps", sections=[Section("/**", "", {"fps": 0})]).errors  # -p is for this node


@pytest.mark.parametrize(
    ("pattern", "keys", "words"),
    [
        ("/**/so101_drivr", {"port": 2}, "section /**/so101_drivr of a.yaml does not reach /left/so101_driver: did"),
        ("/so101_driver", {"port": 2}, "whose namespace is another: write /**/so101_driver"),
        (
            "/**/my_arm",
            {"port": 2},
            "of a.yaml is not for /left/so101_driver, which has none: did you mean /**/so101_driver?",
        ),
        ("/**/my_arm", {"speed": 2}, ""),
        ("/**/camera", {"port": 2}, ""),
        ("/**", {"port": 2}, ""),
    ],
)
def test_a_section_that_was_meant_for_the_node_and_misses_it_is_told(pattern: str, keys, words: str) -> None:
    lines = lost_sections("/left/so101_driver", DRIVER, [Section(pattern, "a.yaml", keys)], Nodes().node_names)
    assert words in lines[0] if words else lines == [], lines


def test_sections_of_others_are_left_alone_where_the_node_has_its_own() -> None:
    both = [Section("/left/so101_driver", "a.yaml", {"port": 2}), Section("/right/so101_driver", "a.yaml", {"port": 5})]
    assert lost_sections("/left/so101_driver", DRIVER, both, Nodes().node_names) == []
    cameras = [Section(f"/**/camera{number}", "a.yaml", {"device": number}) for number in (1, 2)]
    assert lost_sections("/camera1", {"device"}, cameras, Nodes().node_names) == []
    assert len(lost_sections("/camera3", {"device"}, cameras, Nodes().node_names)) == 2
    cameras = [Section(f"/**/{name}", "a.yaml", {"device": 1}) for name in ("front", "gripper_cam")]
    (line,) = lost_sections("/wrist", {"device"}, cameras, Nodes().node_names)
    assert line.startswith("/wrist has no section /**/wrist in its parameter files, only: section /**/front of a.yaml,")
