"""Which source a device name stands for."""

from pathlib import Path

import pytest
from so101_camera.file_source import FileSource
from so101_camera.source_choice import make_source, present_cameras
from so101_camera.video_source import SourceMissingError, SourceSettings, device_path


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
