"""The choice of a frame source by the device's name."""

from pathlib import Path

from so101_camera.file_source import FileSource
from so101_camera.opencv_source import OpenCvSource
from so101_camera.rotated_source import RotatedSource
from so101_camera.url_source import UrlSource, is_url
from so101_camera.video_source import FrameSource, SourceMissingError, SourceSettings, device_path


def make_source(settings: SourceSettings) -> FrameSource:
    """Return the source for what `settings.device` names, turned as `settings.rotation` says, not yet opened.

    Raises:
        SourceMissingError: there is no such device, file or folder.
    """
    source = _source_of(settings)
    return RotatedSource(source, settings.rotation) if settings.rotation else source


def _source_of(settings: SourceSettings) -> FrameSource:
    if is_url(settings.device):
        return UrlSource(settings)
    path = device_path(settings.device)
    if path.is_char_device():
        return OpenCvSource(settings)
    if path.is_dir() or path.is_file():
        return FileSource(path, settings.fps)
    raise SourceMissingError(f"device = {settings.device}: no such camera, file or URL; {present_cameras()}")


def present_cameras() -> str:
    """Return in words which camera devices this machine has."""
    stable = sorted(Path("/dev/v4l/by-id").glob("*")) if Path("/dev/v4l/by-id").is_dir() else []
    plain = sorted(Path("/dev").glob("video*"), key=lambda path: (len(path.name), path.name))
    names = [str(path) for path in [*plain, *stable]]
    return f"present: {', '.join(names)}" if names else "this machine has no /dev/video*: is the camera plugged in?"
