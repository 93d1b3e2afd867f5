# SPDX-License-Identifier: Apache-2.0
"""The entry point: what must be settled before numpy is imported."""

import subprocess
import sys


def test_products_of_matrices_are_computed_on_the_thread_that_asks() -> None:
    """A control thread must not wait for the threads of numpy's BLAS; they would be counted here."""
    code = (
        "import os, sys, so101_action_queue.ros.start as entry\n"
        "assert 'numpy' not in sys.modules\n"
        "def node(module):\n"
        "    import numpy as np\n"
        "    np.ones((600, 600)) @ np.ones((600, 600))\n"
        "    print(len(os.listdir('/proc/self/task')))\n"
        "entry.start = node\n"
        "entry.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1"], done.stdout + done.stderr
