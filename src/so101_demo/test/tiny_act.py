# SPDX-License-Identifier: Apache-2.0
"""Writes a small ACT with random weights, no network needed: `python tiny_act.py FOLDER CAMERA...`.

Its actions are about 0 +- 30 degrees, whatever the cameras see.
"""

import sys

from so101_bench.checkpoint import write

if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2:], chunk=50, mean=[0.0] * 6, spread=30.0)
