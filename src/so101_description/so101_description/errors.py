# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with the arm's description; each message is one line and says what to do."""


class DescriptionError(Exception):
    """Root of all of them."""


class AssetError(DescriptionError):
    """The arm's model cannot be found, read or cached."""


class UrdfError(DescriptionError, ValueError):
    """The URDF is not one that can be read here."""


class MeshFolderError(DescriptionError, ValueError):
    """The folder that was named has no meshes of the arm."""


class RowsShapeError(DescriptionError, ValueError):
    """Rows of joint positions have another shape than the joint names say; the message has both."""
