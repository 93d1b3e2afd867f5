# SPDX-License-Identifier: Apache-2.0
"""Two computers and the network between them on one Linux machine: two network namespaces and a shaped wire (root)."""
