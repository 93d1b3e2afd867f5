# SPDX-License-Identifier: Apache-2.0
"""Our own nodes, started from the launch files that a user starts, and the node that takes notes."""
