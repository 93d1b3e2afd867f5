"""What can be wrong with a bag."""


class BagError(RuntimeError):
    """A bag cannot be read or written as wanted. The message is one line that names the bag and the remedy."""
