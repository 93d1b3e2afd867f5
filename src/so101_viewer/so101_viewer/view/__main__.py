# SPDX-License-Identifier: Apache-2.0
"""`./so101 view`: the browser view of the robot in this ROS domain, until Ctrl-C."""

import sys
from collections.abc import Sequence

from so101_node.one_line_parser import OneLineParser, whole

from so101_viewer.errors import ViewerError
from so101_viewer.view.viewer_server import DEFAULT_PORT, check_ports


def ros_arguments(arguments: Sequence[str] | None = None) -> list[str]:
    """Return the node's ROS arguments for the command line of the verb; leaves the process where it is wrong."""
    parser = OneLineParser(
        prog="so101 view",
        description="A running robot in the browser: arm, paths, cameras, queue, latency and logs.",
        epilog="It shows the robot in this ROS domain: ROS_DOMAIN_ID=42 ./so101 view shows another.",
    )
    parser.add_argument(
        "--port", type=whole(1, 65534), default=DEFAULT_PORT, help="page on this port, data on the next (9090)"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.add_argument("--namespace", default="/", help="namespace of the robot, where there are several")
    parser.add_argument("--meshes", default="auto", help="auto, none (boxes), or the folder with the STL files")
    given = parser.parse_args(arguments)
    values = {
        "port": str(given.port),
        "open_browser": "false" if given.no_browser else "true",
        "meshes": given.meshes,
    }
    words = ["--ros-args", "-r", f"__ns:={'/' + given.namespace.strip('/')}"]
    for name, value in values.items():
        words += ["-p", f"{name}:={value}"]
    return words


def main() -> None:
    """Run the view."""
    words = ros_arguments()
    port = int(next(word for word in words if word.startswith("port:=")).removeprefix("port:="))
    try:
        check_ports(port)  # before anything is imported that takes seconds
    except ViewerError as error:
        print(f"so101 view: {error}", file=sys.stderr)
        sys.exit(1)
    from so101_node.process import run_process

    from so101_viewer.view.view_node import ViewNode

    run_process(ViewNode, words, program="so101 view")


if __name__ == "__main__":
    main()
