# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a camera; each message is one line for people."""


class CameraError(Exception):
    """Root of all of them."""


class FrameShapeError(CameraError, ValueError):
    """No frame at all, or pixels of another shape or type than a frame has."""


class ImageCodecError(CameraError, ValueError):
    """Bytes that are no image, or pixels that cannot be encoded."""


class CameraInfoError(CameraError, ValueError):
    """A calibration file is missing or wrong."""


class SourceError(CameraError, RuntimeError):
    """A source cannot deliver: unplugged, busy, ended. Trying again may help."""


class SourceEndedError(SourceError):
    """The source gives nothing more until it is opened again: a stream that ended or stood still."""


class SourceMissingError(SourceError):
    """The named device or file does not exist, or is of no known kind. The message names what does exist."""


class UnknownSourceError(CameraError):
    """The parameter frame_source names nothing that can be used here."""
