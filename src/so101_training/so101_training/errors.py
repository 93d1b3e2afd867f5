# SPDX-License-Identifier: Apache-2.0
"""What can go wrong while a policy is made, tried or tuned. Each message is one line with the remedy."""


class TrainingError(RuntimeError):
    """Root of all of them."""
