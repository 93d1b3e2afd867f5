"""The policies that come with this package, one for each task of the demo."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory


def shipped_policy(task: str) -> Path:
    """Return the folder of the policy for this task."""
    return Path(get_package_share_directory("so101_tools")) / "policies" / task
