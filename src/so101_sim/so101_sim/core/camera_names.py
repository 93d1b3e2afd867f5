# SPDX-License-Identifier: Apache-2.0
"""The names of the virtual arm's cameras."""

CAMERAS = ("front", "top", "wrist")
