# SPDX-License-Identifier: Apache-2.0
"""What the demo accepts on its command line."""

from pathlib import Path

import pytest
from so101_demo.options import parse


def test_the_defaults_run_the_shipped_policy_and_make_a_film():
    options = parse([])
    assert (options.policy, options.checkpoint, options.task) == ("act", None, "static")
    assert options.film == Path("outputs/demo.mp4")
    assert options.report is None and not options.headless


def test_the_browser_view_is_served_unless_nobody_is_there_to_look_or_wants_to():
    assert parse([]).view_port == 0  # the first free one
    assert parse(["--port", "9300"]).view_port == parse(["--headless", "--port", "9300"]).view_port == 9300
    assert parse(["--headless"]).view_port is parse(["--no-view"]).view_port is None


def test_scene_seeds_follow_from_the_seed_alone_and_differ_from_each_other():
    seeds = parse(["--seed", "4", "--episodes", "50"]).scene_seeds()
    assert seeds == parse(["--seed", "4", "--episodes", "50"]).scene_seeds()
    assert len(set(seeds)) == 50
    assert seeds != parse(["--seed", "5", "--episodes", "50"]).scene_seeds()
    assert all(0 <= seed < 2**48 for seed in seeds)


def test_more_episodes_begin_with_the_same_scenes():
    assert (
        parse(["--seed", "4", "--episodes", "9"]).scene_seeds()[:3]
        == parse(["--seed", "4", "--episodes", "3"]).scene_seeds()
    )


def test_without_a_seed_every_run_is_fresh():
    assert parse([]).seed != parse([]).seed


def test_rows_are_corrected_only_where_that_is_wanted():
    assert parse([]).correction == parse(["--policy", "expert", "--correction", "off"]).correction == "off"
    assert parse(["--correction", "my.npz"]).correction == "my.npz"


def test_the_server_is_reached_by_the_link_alone_only_where_that_is_wanted():
    assert not parse([]).link and parse(["--link"]).link


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--episodes", "0"], "--episodes: 0: must be 1 to 100000, a whole number"),
        (["--seed", "-1"], "must be 0 to 9223372036854775807, a whole number"),
        (["--policy-delay", "nan"], "--policy-delay: nan: must be 0 to 10 s"),
        (["--video", "film.avi"], "--video film.avi: must end in .mp4, .webp, .gif"),
        (["--task", "juggle"], "--task: invalid choice: 'juggle'"),
        (["--policy", "expert", "--checkpoint", "here"], "--checkpoint here: goes with --policy act"),
        (["--video", "a.mp4", "--no-video"], "not allowed with argument"),
        (["--in-flight", "9"], "--in-flight: 9: must be 1 to 8"),
        (["--wire-delay", "-1"], "--wire-delay: -1: must be 0 to 10 s"),
        (["--policy", "expert", "--correction", "on"], "--correction on: goes with --policy act, the expert has none"),
        (["--cut", "3/12"], "--cut 3/12: goes with --link"),
        (["--link", "--cut", "12/3"], "--cut: 12/3: must be S/EVERY"),
        (["--port", "80000"], "--port: 80000: must be 1 to 65534"),
        (["--port", "9090", "--no-view"], "not allowed with argument"),
    ],
)
def test_wrong_arguments_end_with_one_line_that_names_them(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ending:
        parse(arguments)
    assert ending.value.code == 2
    [said] = capsys.readouterr().err.splitlines()
    assert complaint in said


@pytest.mark.parametrize(("option", "name"), [("--report", "r.json"), ("--video", "f.mp4"), ("--record", "bag")])
def test_what_cannot_be_written_is_known_before_the_episodes(option, name, tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        parse([option, str(tmp_path / "file" / name)])
    [said] = capsys.readouterr().err.splitlines()
    assert f"{option} {tmp_path / 'file' / name}: cannot be written ({tmp_path / 'file'} is no folder)" in said
    parse([option, str(tmp_path / "new" / name)])
    assert not list((tmp_path / "new").iterdir())


def test_a_bag_needs_a_folder_that_is_empty_or_not_there(tmp_path, capsys):
    (tmp_path / "file").touch()
    for folder, reason in ((tmp_path / "file", "it is a file"), (tmp_path, "it is not empty: name another folder")):
        with pytest.raises(SystemExit):
            parse(["--record", str(folder)])
        assert f"--record {folder}: cannot be written ({reason}" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert parse(["--record", str(tmp_path / "empty")]).record == tmp_path / "empty"
