# SPDX-License-Identifier: Apache-2.0
"""Making the demo policy from nothing: demonstrations of the scripted expert, ACT training, and a quick evaluation.

This subpackage imports LeRobot and torch, and MuJoCo; nothing that runs on the robot imports it.
"""

import os

# Before numpy is imported: with its own threads OpenBLAS takes another core for products that take a millisecond.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
