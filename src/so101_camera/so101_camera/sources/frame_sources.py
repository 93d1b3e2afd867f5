# SPDX-License-Identifier: Apache-2.0
"""The kinds of frame source: the entry points of the group `so101.frame_sources`, name -> `MakeSource`.

The parameter frame_source names one of them; empty, the device's name says which of our own it is.
"""

from pathlib import Path
from typing import Final

from so101_node.entry_points import EntryPointError, EntryPointGroup

from so101_camera.core.frame_source import FrameSource, MakeSource, SourceSettings, device_path, is_url
from so101_camera.errors import SourceError, SourceMissingError, UnknownSourceError
from so101_camera.sources.checked_source import CheckedSource
from so101_camera.sources.rotated_source import RotatedSource

FRAME_SOURCES: Final = EntryPointGroup(
    "so101.frame_sources",
    parameter="frame_source",
    expected="a function (settings) that returns a frame source",
    arguments=(SourceSettings(""),),
)

OWN: Final = ("file", "opencv", "url")
"""The kinds of this package; each needs a device."""


def make_source(settings: SourceSettings, frame_source: str = "") -> FrameSource:
    """Return the source for what `settings.device` names, turned as `settings.rotation` says, not yet opened.

    Args:
        settings: what is asked of the source.
        frame_source: a name of the group; "" = by the device: an address is a url, a device file opencv, a file or
            folder file.

    Raises:
        SourceMissingError: there is no such device, file or folder.
        SourceError: the source of another package cannot be made.
        UnknownSourceError: no package or several have this frame_source, or it cannot be imported or called.
    """
    name = frame_source or _own_kind(settings.device)
    try:
        make: MakeSource = FRAME_SOURCES.load(name)
    except EntryPointError as error:
        raise UnknownSourceError(str(error)) from error
    source = make(settings) if name in OWN else _made_elsewhere(make, settings, name)
    return RotatedSource(source, settings.rotation) if settings.rotation else source


def foreign_sources() -> list[str]:
    """Names of the installed kinds that come from other packages, sorted."""
    return [name for name in FRAME_SOURCES.names() if name not in OWN]


def present_cameras() -> str:
    """Return in words which camera devices this machine has."""
    stable = sorted(Path("/dev/v4l/by-id").glob("*")) if Path("/dev/v4l/by-id").is_dir() else []
    plain = sorted(Path("/dev").glob("video*"), key=lambda path: (len(path.name), path.name))
    names = [str(path) for path in [*plain, *stable]]
    return f"present: {', '.join(names)}" if names else "this machine has no /dev/video*: is the camera plugged in?"


def _own_kind(device: str) -> str:
    if is_url(device):
        return "url"
    path = device_path(device)
    if path.is_char_device():
        return "opencv"
    if path.is_dir() or path.is_file():
        return "file"
    raise SourceMissingError(f"device = {device}: no such camera, file or URL; {present_cameras()}")


def _made_elsewhere(make: MakeSource, settings: SourceSettings, name: str) -> FrameSource:
    try:
        source = make(settings)
    except SourceError as error:
        raise SourceError(f"frame source {name!r}: {error}") from error
    except Exception as error:  # the code of others: anything may come
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise SourceError(f"frame source {name!r} cannot be made: {text}") from error
    return CheckedSource(source, name)
