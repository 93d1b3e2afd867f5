# SPDX-License-Identifier: Apache-2.0
"""Entry point of `./so101`."""

import sys

try:
    from so101_workspace.command_line import main

    sys.exit(main(sys.argv[1:]))
except KeyboardInterrupt:  # before or after what `main` answers itself
    sys.exit(130)
