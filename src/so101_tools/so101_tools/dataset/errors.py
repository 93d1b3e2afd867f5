"""What can go wrong when a dataset is made."""


class DatasetError(RuntimeError):
    """No dataset can be made of this. The message is one line that names the thing and the remedy."""
