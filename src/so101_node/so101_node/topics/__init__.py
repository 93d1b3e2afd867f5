# SPDX-License-Identifier: Apache-2.0
"""QoS of every topic, publishing twice, who is on a topic, and reading the head of a serialized message."""
