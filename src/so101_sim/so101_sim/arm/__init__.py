# SPDX-License-Identifier: Apache-2.0
"""The process of the virtual arm: its port, its state in shared memory, and the commands that change it."""
