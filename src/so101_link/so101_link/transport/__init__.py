# SPDX-License-Identifier: Apache-2.0
"""Sockets and TLS of the link: connecting, listening, and the one thread of each connection. Free of ROS."""
