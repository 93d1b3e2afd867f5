# SPDX-License-Identifier: Apache-2.0
"""Records demonstrations in the simulator, trains, evaluates and tunes policies."""
