# SPDX-License-Identifier: Apache-2.0
"""Training of corrections: what a robot adds to the rows of a base policy, from demonstrations."""
