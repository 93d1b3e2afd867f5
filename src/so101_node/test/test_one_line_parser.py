# SPDX-License-Identifier: Apache-2.0
"""What a person mistypes is refused in one line that says what was meant."""

from pathlib import Path

import pytest
from so101_node.one_line_parser import OneLineParser, path, whole, within


def parser() -> OneLineParser:
    made = OneLineParser(prog="so101 thing")
    made.add_argument("--episodes", type=whole(1, 100), default=5)
    made.add_argument("--policy-delay", type=within(0, 10, "s"), default=0.0)
    made.add_argument("--report", type=path)
    made.add_argument("--dataset", type=path, nargs="+")
    made.add_argument("--set", action="append", default=[])
    made.add_argument("words", nargs="*")
    verbs = OneLineParser(prog="so101 things")
    sub = verbs.add_subparsers(dest="verb").add_parser("part")
    sub.add_argument("--camera")
    made.verbs = verbs  # type: ignore[attr-defined]
    return made


def refusal(words: list[str], capsys: pytest.CaptureFixture[str], by: OneLineParser | None = None) -> str:
    with pytest.raises(SystemExit) as ended:
        (by or parser()).parse_args(words)
    told = capsys.readouterr()
    assert ended.value.code == 2 and told.out == "" and told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize("text", ["0", "-1", "101", "1e9", "nan", "", " ", "1.0", "²", "٣", "many", "+3", "1_0"])
def test_a_count_that_is_none_is_refused_with_its_bounds(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal([f"--episodes={text}"], capsys)
    assert said.startswith(f"so101 thing: argument --episodes: {text or repr('')}: must be 1 to 100, a whole number")


@pytest.mark.parametrize("word", ["", " "])
def test_an_empty_word_is_refused_as_any_other(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A variable of the shell that was not set."""
    said = refusal([word], capsys, OneLineParser(prog="so101 thing"))
    assert said == "so101 thing: unrecognized arguments: ''; see so101 thing --help\n"


@pytest.mark.parametrize("text", ["-0.1", "11", "1e9", "nan", "inf", "", "400ms", "0,4"])
def test_a_number_that_is_none_is_refused_with_its_bounds_and_unit(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal([f"--policy-delay={text}"], capsys)
    assert said.startswith(f"so101 thing: argument --policy-delay: {text or repr('')}: must be 0 to 10 s")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--episodes", "3", "--episodes", "5"], "argument --episodes: given twice, 3 and 5; leave one out"),
        (["--report", "a b", "--report=ü"], "argument --report: given twice, a b and ü; leave one out"),
        (["--dataset", "a", "b", "--dataset", "c"], "argument --dataset: given twice, a b and c; leave one out"),
    ],
)
def test_of_an_option_that_is_given_twice_none_wins_in_silence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """argparse takes the last one."""
    assert said in refusal(words, capsys)


def test_what_may_be_given_again_still_may(capsys: pytest.CaptureFixture[str]) -> None:
    one = parser()
    given = one.parse_args(["--episodes", "3", "--episodes", "3", "--set", "a=1", "--set", "b=2", "x", "y"])
    assert (given.episodes, given.set, given.words) == (3, ["a=1", "b=2"], ["x", "y"])
    assert one.parse_args(["--episodes", "4"]).episodes == 4  # it keeps nothing of the call before
    assert one.parse_args(["--episodes", "5"]).episodes == 5  # what is given is the default


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--policy_delay=0.4", "(did you mean --policy-delay?)"),
        ("--episode-s=3", "(did you mean --episodes?)"),
        ("--policy-delay:=0.4", "(here it is written --policy-delay 0.4)"),
        ("--nothing-like-it", "unrecognized arguments: --nothing-like-it; see so101 thing --help"),
    ],
)
def test_an_option_that_is_none_is_told_with_the_one_that_was_meant(
    word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal([word], capsys)


def test_an_argument_written_as_for_a_launch_file_is_told_how_it_is_written_here(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = OneLineParser(prog="so101 demo")
    one.add_argument("--policy-delay")
    assert "(here it is written --policy-delay 0.4)" in refusal(["policy_delay:=0.4"], capsys, one)


def test_options_of_parts_are_known_too(capsys: pytest.CaptureFixture[str]) -> None:
    verbs = parser().verbs  # type: ignore[attr-defined]
    assert "(did you mean --camera?)" in refusal(["part", "--camer4", "top"], capsys, verbs)


def test_a_path_may_begin_with_a_tilde_and_is_never_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--report=~/run.json` made a folder named ~, and `--checkpoint "$POLICY"` meant the folder that one was in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parser().parse_args(["--report=~/run 1.json"]).report == tmp_path / "run 1.json"
    assert parser().parse_args(["--report", "über/../x.json"]).report == Path("über/../x.json")
    assert "argument --report: '' names no file or folder" in refusal(["--report", ""], capsys)
    assert "argument --report: ~nobody-at-all/x: " in refusal(["--report", "~nobody-at-all/x"], capsys)
