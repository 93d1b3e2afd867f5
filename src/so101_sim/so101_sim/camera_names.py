"""The names of the virtual arm's cameras."""

CAMERAS = ("front", "top", "wrist")
