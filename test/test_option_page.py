# SPDX-License-Identifier: Apache-2.0
"""The page with every verb's options is what the parsers say, and every verb refuses what it does not know alike."""

from pathlib import Path

import pytest
from docs_commands import DeadCommandError, parse
from so101_workspace import command_line

from so101_node import verb as verbs

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "command_line.md"
RENEW = "./so101 ros python docs/generators/option_page.py > docs/reference/command_line.md"


def test_the_page_about_options_is_current() -> None:
    option_page = pytest.importorskip("option_page")
    assert option_page.document() == PAGE.read_text(encoding="utf-8"), RENEW


@pytest.mark.parametrize("verb", command_line._TOOLS)
def test_every_verb_refuses_a_wrong_option_in_one_line_under_its_name(verb: str) -> None:
    """`./so101 demo` and `./so101 view` said `error: ...`."""
    with pytest.raises(DeadCommandError) as refused:
        parse(command_line._TOOLS[verb][0], ["--nothing-like-it"])
    said = str(refused.value)
    assert said.startswith(f"so101 {verb}: ") and said.endswith(f"; see so101 {verb} --help") and "\n" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("policy compare --report r --frames frozen", "--frames frozen: only with --correction"),
        ("policy compare --report r --in-flight 4", "--in-flight: only with --delay"),
        ("policy train --seed -1", "--seed: -1: must be 0 to 4294967295, a whole number"),
        ("policy correction --dataset d --checkpoint c --fps nan", "--fps: nan: must be 1 to 120 Hz"),
        ("doctor server --peer 10.0.0.1", "--peer goes with `doctor network`, not with `doctor server`"),
        ("doctor network --robot-id me", "--robot-id goes with `doctor robot`, not with `doctor network`"),
        ("doctor --listen nan", "--listen: nan: must be 0 to 3600 s"),
        ("call start --wait 1e9", "--wait: 1e9: must be 0 to 3600 s"),
        ("replay bag --speed 1", "--speed goes with --to arm, not --to queue"),
        ("record --repair bag --seconds 3", "--repair bag: repairs that bag and records nothing; leave the rest out"),
        ("record --seconds nan", "--seconds: nan: must be 0.25 to 1e+07 s"),
        ("dataset bag --max-gap inf", "--max-gap: inf: must be 0 to 3600 s"),
        ("view --port 65535", "--port: 65535: must be 1 to 65534, a whole number"),
        ("bench lerobot --rate-mbit nan", "--rate-mbit nan: must be 0 (as fast as it goes) or 0.1 to 10000 Mbit/s"),
        ("tune --episodes 1e9", "--episodes: 1e9: must be 0 to 1000, a whole number"),
        ("link keys d --days 0", "--days: 0: must be 1 to 3650, a whole number"),
    ],
)
def test_a_value_that_is_none_and_an_option_of_something_else_are_refused(
    words: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, *rest = words.split()
    monkeypatch.setattr("sys.argv", ["so101", *rest])
    module = command_line._TOOLS[verb][0]
    with pytest.raises(SystemExit) as ended:
        verbs.main_of(module)()
    told = capsys.readouterr()
    assert ended.value.code == 2 and told.err.count("\n") == 1
    assert told.err.startswith(f"so101 {verb}") and said in told.err
