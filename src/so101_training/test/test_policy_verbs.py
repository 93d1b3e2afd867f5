# SPDX-License-Identifier: Apache-2.0
"""The verbs of `./so101 policy`: one that does all, from nothing to a policy that is tried out."""

import json
from pathlib import Path

import pytest
from so101_training.policy.__main__ import main
from so101_training.policy.training import pretrained_folder


@pytest.mark.long
def test_make_goes_from_nothing_to_a_policy_that_was_tried(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("so101_training.policy.verbs.TRIED_EPISODES", 1)
    words = ["make", "--folder", str(tmp_path), "--episodes", "2", "--workers", "1", "--steps", "3"]
    assert main(words) == 0
    assert capsys.readouterr().out.endswith("/1 episodes succeeded in virtual time\n")
    card = json.loads((pretrained_folder(tmp_path / "run") / "training_card.json").read_text())
    assert (card["episodes"], card["steps"]) == (2, 3)
    assert main(words) == 0, "the second time finds everything there"


@pytest.mark.parametrize("words", [["bake"], ["make", "--episodes", "0"], ["train", "--steps", "many"]])
def test_words_that_make_no_sense_are_one_line(words: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
