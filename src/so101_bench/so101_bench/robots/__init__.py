# SPDX-License-Identifier: Apache-2.0
"""`./so101 bench robots`: several virtual robots at one policy server."""
