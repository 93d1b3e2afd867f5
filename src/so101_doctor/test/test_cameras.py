# SPDX-License-Identifier: Apache-2.0
"""What `./so101 cameras` says of sources that stand for cameras: a folder of JPEG files."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from laid_package import lay_package
from so101_camera.sources.file_source import FileSource
from so101_doctor.cameras import __main__ as cameras
from so101_doctor.cameras import survey
from so101_doctor.cameras.__main__ import main
from so101_doctor.cameras.survey import look
from so101_doctor.check import Light
from so101_doctor.robot import _check_frame_sources


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "wrist"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.jpg"), np.full((48, 64, 3), 80 * number, np.uint8))
    return folder


def test_a_look_measures_size_and_rate(images: Path) -> None:
    sight = look(str(images), 0.5)
    assert (sight.width, sight.height, sight.passes_jpeg) == (64, 48, True)
    assert 5.0 < sight.fps < 35.0
    assert sight.jpeg.startswith(b"\xff\xd8")


def test_an_image_of_each_camera_is_saved(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(images), "--seconds", "0.1", "--save", str(tmp_path / "out")]) == 0
    assert cv2.imread(str(tmp_path / "out" / "0_wrist.jpg")).shape == (48, 64, 3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("wrist: 64x48, ") and lines[0].endswith("frames/s, JPEG, passed through")
    assert lines[1:3] == [f"  device: {images}", f"  image: {tmp_path / 'out' / '0_wrist.jpg'}"]


def test_a_path_is_shown_whole_however_long_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names in /dev/v4l/by-id are longer than 80 columns leave room for, and are there to be copied."""
    folder = tmp_path / "usb-Sonix_Technology_Co.__Ltd._USB_2.0_Camera_SN0001-video-index0" / "x" / "images"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "0.jpg"), np.zeros((48, 64, 3), np.uint8))
    assert main([str(folder), "--seconds", "0.1", "--save", str(tmp_path / "out")]) == 0
    assert f"  device: {folder}\n" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon"])
def test_no_time_to_look_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--seconds", seconds])
    [said] = capsys.readouterr().err.splitlines()
    assert f"--seconds: {seconds}: must be 0.1 to 60 s" in said


def test_a_camera_in_the_network_is_listed_with_its_url(monkeypatch: pytest.MonkeyPatch, images: Path) -> None:
    url = "rtsp://10.0.0.3:554/stream1"
    monkeypatch.setattr(survey, "make_source", lambda *_: FileSource(images, 30.0))
    assert survey.look(url, 0.1).stable_path == url


def test_an_interrupt_ends_the_look_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cameras, "look", interrupted)
    assert main(["/dev/video0"]) == 130
    assert capsys.readouterr().err == ""


def test_without_a_camera_one_line_says_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["/dev/no_camera"]) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("so101 cameras: /dev/no_camera: ")
    monkeypatch.setattr(cameras, "devices", list)
    assert main([]) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("so101 cameras: no camera delivers; ")


def lay(folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, point: str, module: str = "") -> None:
    monkeypatch.syspath_prepend(str(folder))
    lay_package(folder, package, "so101.frame_sources", (point,), module)


def test_a_kind_of_frame_source_that_nobody_has_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--frame-source", "depht"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("so101 cameras: frame_source = 'depht': no installed package has it; known are file")
    assert said.count("\n") == 1


def test_the_doctor_names_each_installed_frame_source_and_one_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lay(tmp_path, monkeypatch, "well", "well = well:make", "def make(settings): ...")
    lay(tmp_path, monkeypatch, "unwell", "unwell = unwell:make", "import no_such_sdk")
    unwell, well = sorted(_check_frame_sources(), key=lambda check: check.text)
    assert well.text.startswith("well is installed")
    assert (well.state, unwell.state) == (Light.GREEN, Light.YELLOW)
    assert unwell.text.endswith("cannot be imported: ModuleNotFoundError: No module named 'no_such_sdk'")
    assert unwell.remedy == "repair or uninstall the package"
