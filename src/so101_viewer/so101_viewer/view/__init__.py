# SPDX-License-Identifier: Apache-2.0
"""A running robot in the browser: arm, paths, cameras, queue, latency and logs, drawn by Rerun."""
