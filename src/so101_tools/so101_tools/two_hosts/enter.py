"""Runs a command on one of the two hosts: `python -SE enter.py NETWORK_NAMESPACE MOUNT_NAMESPACE COMMAND...`.

Standard library only: it starts in 15 ms. The process keeps its id, so that signals and accounting reach the command.
"""

import os
import sys


def main() -> None:
    network, mounts, *command = sys.argv[1:]
    here = os.getcwd()  # noqa: PTH109 (pathlib takes another 10 ms to import)
    for namespace in (network, mounts):
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        os.setns(descriptor)
    os.chdir(here)
    os.execvp(command[0], command)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, IndexError) as error:
        sys.exit(f"so101: the other host cannot be entered: {error}")
