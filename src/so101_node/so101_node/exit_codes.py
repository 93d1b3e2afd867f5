# SPDX-License-Identifier: Apache-2.0
"""Exit codes of a node, for those who start it."""

from typing import Final

FAILURE: Final = 1
WRONG_OPTIONS: Final = 2
"""Of a verb that a person typed; argparse's."""
CONFIGURATION: Final = 78
"""EX_CONFIG of sysexits.h: started again with the same parameters, the node would end in the same way."""
