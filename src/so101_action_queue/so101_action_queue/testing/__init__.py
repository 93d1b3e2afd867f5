# SPDX-License-Identifier: Apache-2.0
"""Helpers for tests of this and other packages: the world around an action queue, over DDS."""
