# SPDX-License-Identifier: Apache-2.0
"""`./so101 bench`: our nodes and LeRobot's own asynchronous inference on the same work, interleaved, in metrics."""
