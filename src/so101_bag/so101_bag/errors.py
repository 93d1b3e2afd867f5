# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with bags, replays and datasets. Each message is one line that names the thing and the remedy."""


class BagError(RuntimeError):
    """Root of all of them; itself: a bag cannot be read or written as wanted."""


class ReplayError(BagError):
    """The replay cannot begin or go on."""


class DatasetError(BagError):
    """No dataset can be made of this."""
