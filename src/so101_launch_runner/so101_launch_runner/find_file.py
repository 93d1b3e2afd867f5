# SPDX-License-Identifier: Apache-2.0
"""Where launch files are: a path, or a name among those that packages offer in the ament index.

A package that installs launch files registers the resource `so101_launch_files`; the files lie in share/PACKAGE/launch.
"""

from pathlib import Path

from ament_index_python.resources import get_resources

_RESOURCE = "so101_launch_files"


def launch_files() -> dict[str, Path]:
    """Return the launch files that come with the built packages, by name.

    Raises:
        FileNotFoundError: there is none, or two packages have one of the same name.
    """
    found: dict[str, Path] = {}
    for package, prefix in sorted(get_resources(_RESOURCE).items()):
        for path in sorted((Path(prefix) / "share" / package / "launch").glob("*.launch.xml")):
            if path.name in found:
                raise FileNotFoundError(f"two launch files {path.name}: {found[path.name]} and {path}; remove one")
            found[path.name] = path
    if not found:
        raise FileNotFoundError("no package with launch files is built; run ./so101 build")
    return dict(sorted(found.items()))


def find_launch_file(name: str) -> Path:
    """Return the file for a path or for the name of one of ours, with or without .launch.xml."""
    if Path(name).is_file():
        return Path(name)
    files = launch_files()
    for candidate in (name, f"{name}.launch.xml"):
        if candidate in files:
            return files[candidate]
    raise FileNotFoundError(f"no launch file {name}; there are: {', '.join(files)}")
