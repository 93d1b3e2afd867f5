# SPDX-License-Identifier: Apache-2.0
"""`./so101 demo`: exit 0 if the run completed, 1 with one line if not, 130 after Ctrl-C."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo and leave the process."""
    from so101_demo.errors import DemoError
    from so101_demo.options import parse

    options = parse(arguments)
    from so101_demo.panel import Display, PanelDisplay, PlainDisplay
    from so101_demo.run import DemoRun, Interrupted, StopRequest

    stop = StopRequest()
    stop.install()
    display: Display = PlainDisplay() if options.headless or not sys.stdout.isatty() else PanelDisplay()
    try:
        DemoRun(options, display, stop).run()
    except Interrupted:
        print("so101 demo: stopped", file=sys.stderr)
        sys.exit(128 + stop.received)
    except DemoError as error:
        print(*error.details, f"so101 demo: {error}", sep="\n", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before the demo's own handlers stood: nothing has been started yet
        sys.exit(130)
