"""Where launch files are: a path, or a name in the launch folder of so101_bringup."""

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

_PACKAGE = "so101_bringup"


def launch_folder() -> Path:
    """Return the installed folder of launch files. Raises FileNotFoundError if so101_bringup is not built."""
    try:
        return Path(get_package_share_directory(_PACKAGE)) / "launch"
    except PackageNotFoundError as error:
        raise FileNotFoundError(f"package {_PACKAGE} is not built; run ./so101 build") from error


def launch_files() -> list[str]:
    """Return the names of the launch files that come with the workspace."""
    return sorted(path.name for path in launch_folder().glob("*.launch.xml"))


def find_launch_file(name: str) -> Path:
    """Return the file for a path or for the name of one of ours, with or without .launch.xml."""
    if Path(name).is_file():
        return Path(name)
    folder = launch_folder()
    for candidate in (folder / name, folder / f"{name}.launch.xml"):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"no launch file {name}; there are: {', '.join(launch_files())}")
