# SPDX-License-Identifier: Apache-2.0
"""The virtual SO-101: servo bus on a pty, MuJoCo physics, rendered cameras, judge and scripted expert."""
