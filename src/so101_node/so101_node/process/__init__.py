# SPDX-License-Identifier: Apache-2.0
"""One node as one process: start, spin, stop, and one line for every fatal error."""

from so101_node.process.running import end_process, run_node, run_process, wait_until_heard
from so101_node.threads import NodeError

__all__ = ["NodeError", "end_process", "run_node", "run_process", "wait_until_heard"]
