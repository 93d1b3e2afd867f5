"""What can go wrong with a replay."""


class ReplayError(RuntimeError):
    """The replay cannot begin or go on. The message is one line that names the thing and the remedy."""
