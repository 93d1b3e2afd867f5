# SPDX-License-Identifier: Apache-2.0
"""The queue plot: what the action queue did in the last 30 s, as an image on a topic."""
