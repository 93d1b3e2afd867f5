# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a view; each message is one line."""


class ViewerError(RuntimeError):
    """Root of all of them; itself: the viewer's server cannot be started or has ended."""
