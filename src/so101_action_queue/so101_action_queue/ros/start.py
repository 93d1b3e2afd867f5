# SPDX-License-Identifier: Apache-2.0
"""Entry point of the executable `action_queue`."""

import os

from so101_node.early_signals import start

# A correction multiplies matrices on the control thread. Shared among the threads of numpy's BLAS such a product waits
# for a core that somebody else has: 46 ms instead of 2 at the 99th percentile on two busy cores, and 1.1 cores more.
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")


def main() -> None:
    """Run the node until a signal."""
    for name in ONE_THREAD:  # read when numpy is imported
        os.environ.setdefault(name, "1")
    start("so101_action_queue.ros.action_queue_node")


if __name__ == "__main__":
    main()
