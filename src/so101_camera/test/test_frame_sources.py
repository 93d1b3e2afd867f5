# SPDX-License-Identifier: Apache-2.0
"""Which source a device name or an entry point stands for, and what a source of another package is held to."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from laid_package import Install, installer
from so101_camera.core.frame import Frame
from so101_camera.core.frame_source import SourceSettings, device_path
from so101_camera.errors import SourceEndedError, SourceError, SourceMissingError, UnknownSourceError
from so101_camera.sources.checked_source import CheckedSource
from so101_camera.sources.file_source import FileSource
from so101_camera.sources.frame_sources import FRAME_SOURCES, OWN, foreign_sources, make_source, present_cameras
from so101_camera.sources.opencv_source import OpenCvSource
from so101_camera.sources.rotated_source import RotatedSource
from so101_camera.sources.url_source import UrlSource

MODULE = """
import time
import numpy as np
from so101_camera.core.frame import Frame
class Source:
    def __init__(self, settings):
        self.settings, self.seq = settings, 0
    def open(self):
        pass
    def read(self):
        self.seq += 1
        return Frame(self.seq, time.monotonic_ns(), bgr=np.full((4, 6, 3), int(self.settings.device), np.uint8))
    def close(self):
        pass
def no_arguments():
    return Source(None)
def fails(settings):
    raise KeyError("two\\nlines")
number = 7
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lay a package with entry points of the group on the import path, as an installer does."""
    return installer(tmp_path, monkeypatch, "so101.frame_sources", MODULE)


def test_an_index_is_the_device_of_that_number() -> None:
    assert device_path("2") == Path("/dev/video2")


def test_a_folder_is_a_file_source(tmp_path: Path) -> None:
    assert isinstance(make_source(SourceSettings(str(tmp_path))), FileSource)


def test_a_missing_device_is_named_with_what_is_there_instead() -> None:
    with pytest.raises(SourceMissingError) as caught:
        make_source(SourceSettings("/dev/video99"))
    assert "/dev/video99" in str(caught.value)
    assert present_cameras() in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "kind"), [("file", FileSource), ("opencv", OpenCvSource), ("url", UrlSource)])
def test_our_own_sources_are_entries_of_the_group_like_any_other(name: str, kind: type) -> None:
    assert set(OWN) <= set(FRAME_SOURCES.names())
    assert isinstance(make_source(SourceSettings("/dev/video99"), name), kind)


def test_a_source_of_another_package_is_found_by_its_name_and_rotated(install: Install) -> None:
    install("grey_camera", "grey = grey_camera:Source")
    assert foreign_sources() == ["grey"]
    assert "grey (grey_camera)" in FRAME_SOURCES.installed()
    source = make_source(SourceSettings("77", rotation=90), "grey")
    assert isinstance(source, RotatedSource)
    source.open()
    frames = [source.read(), source.read()]
    assert [frame.seq for frame in frames] == [1, 2]
    assert frames[0].bgr is not None and frames[0].bgr.shape == (6, 4, 3) and (frames[0].bgr == 77).all()
    assert source.mismatch() == ""  # it has no such method
    source.close()


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ((), "^frame_source = 'mine': no installed package has it; known are file, opencv, url$"),
        (("mine = nowhere_at_all:Source",), "nowhere_at_all:Source of odd_camera cannot be imported: ModuleNotFound"),
        (("mine = odd_source:missing",), "odd_source:missing of odd_camera cannot be imported: AttributeError: "),
        (("mine = odd_source:number",), r"is a int: expected a function \(settings\) that returns a frame source$"),
        (("mine = odd_source:no_arguments",), r"takes other arguments \(too many .*\): expected a function"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused_in_one_line(
    install: Install, points: tuple[str, ...], said: str
) -> None:
    install("odd_camera", *points)
    install("odd_source")
    with pytest.raises(UnknownSourceError, match=said) as error:
        make_source(SourceSettings("0"), "mine")
    assert "\n" not in str(error.value)


def test_two_packages_with_one_name_are_both_named(install: Install) -> None:
    install("left", "opencv = left:Source")
    with pytest.raises(UnknownSourceError, match=r"left \(left:Source\).*: uninstall or rename one of them") as error:
        make_source(SourceSettings("0"), "opencv")
    assert "so101_camera.sources.opencv_source:OpenCvSource" in str(error.value)


@pytest.mark.parametrize(("name", "error"), [("broken_camera", "RuntimeError"), ("leaving_camera", "SystemExit")])
def test_a_broken_package_is_in_the_way_of_its_own_source_only(
    install: Install, tmp_path: Path, name: str, error: str
) -> None:
    install(name, f"broken = {name}:Source", module=f"raise {error}('no SDK')")
    with pytest.raises(UnknownSourceError, match=rf"{name} cannot be imported: {error}: no SDK$"):
        make_source(SourceSettings("0"), "broken")
    assert isinstance(make_source(SourceSettings(str(tmp_path))), FileSource)


def test_a_source_that_cannot_be_made_is_one_line(install: Install) -> None:
    install("failing_camera", "failing = failing_camera:fails")
    with pytest.raises(SourceError, match=r"^frame source 'failing' cannot be made: KeyError: 'two\\nlines'$"):
        make_source(SourceSettings("0"), "failing")


class Spy:
    """A source whose frames the test gives."""

    def __init__(self, *gives: object) -> None:
        self.gives = list(gives)

    def open(self) -> None: ...

    def read(self) -> object:
        given = self.gives.pop(0)
        if isinstance(given, Exception):
            raise given
        return given() if callable(given) else given

    def close(self) -> None: ...


def checked(*gives: object) -> CheckedSource:
    return CheckedSource(Spy(*gives), "mine")  # type: ignore[arg-type]


def frame(seq: int, later_s: float = 0.0) -> Frame:
    return Frame(seq, time.monotonic_ns() + round(later_s * 1e9), jpeg=b"x")


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (np.zeros((4, 4, 3), np.uint8), r"read\(\) returned a ndarray: expected a Frame"),
        (None, r"read\(\) returned a NoneType: expected a Frame"),
        (
            lambda: Frame(1, 0, bgr=np.zeros((480, 640), np.uint16)),
            r"read\(\): expected \(height, width, 3\) uint8 pixels, got \(480, 640\) uint16",
        ),
        (lambda: Frame(1, 0, bgr=[[[0, 0, 0]]]), r"read\(\): expected \(height, width, 3\) uint8 pixels, got a list"),
        (lambda: Frame(1, 0), r"read\(\): a frame needs jpeg bytes or pixels, got neither"),
        (lambda: frame(1, 50.0), r"frame 1 was captured 50 s from now: expected capture_ns of time.monotonic_ns\(\)"),
        (OSError(5, "gone"), r"read\(\) failed: OSError: \[Errno 5\] gone"),
        (SourceError("the cable is out"), "the cable is out"),
    ],
)
def test_what_is_no_frame_is_refused_in_one_line_and_the_next_one_counts(gives: object, said: str) -> None:
    source = checked(gives, frame(1))
    with pytest.raises(SourceError, match=f"^frame source 'mine': {said}$") as error:
        source.read()
    assert not isinstance(error.value, SourceEndedError)
    assert source.read().seq == 1


def test_an_ended_source_is_opened_again_at_once() -> None:
    with pytest.raises(SourceEndedError, match=r"^frame source 'mine': over$"):
        checked(SourceEndedError("over")).read()


@pytest.mark.parametrize("second", [lambda: frame(5), lambda: frame(4), lambda: frame(6, -1.0)])
def test_numbers_that_do_not_rise_and_time_that_runs_backwards_are_told(second: Callable[[], Frame]) -> None:
    source = checked(frame(5), second)
    source.read()
    with pytest.raises(SourceError, match=r"came after 5 at .*: expected seq to rise and time not to run backwards"):
        source.read()


def test_a_source_without_a_method_is_told_which() -> None:
    with pytest.raises(SourceError, match="SimpleNamespace has no read, no close: expected open"):
        CheckedSource(SimpleNamespace(open=print), "mine")  # type: ignore[arg-type]
