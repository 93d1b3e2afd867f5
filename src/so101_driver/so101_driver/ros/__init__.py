# SPDX-License-Identifier: Apache-2.0
"""The node: parameters, topics, services and threads around the core."""
