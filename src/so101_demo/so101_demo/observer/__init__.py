# SPDX-License-Identifier: Apache-2.0
"""The observer: a process of its own that computes a run's report from topics alone."""
