# SPDX-License-Identifier: Apache-2.0
"""The demo: the whole chain as separate processes on this machine, some episodes, a report and a film."""
