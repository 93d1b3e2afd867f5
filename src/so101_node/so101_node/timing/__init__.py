# SPDX-License-Identifier: Apache-2.0
"""The clock of control threads, timers that no /clock stops, and the grace of a node's first seconds."""
