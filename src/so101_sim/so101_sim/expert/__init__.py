# SPDX-License-Identifier: Apache-2.0
"""The scripted expert, and how the policy server serves it."""
