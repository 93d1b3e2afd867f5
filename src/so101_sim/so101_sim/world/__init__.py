# SPDX-License-Identifier: Apache-2.0
"""The scene in MuJoCo: the arm's physics, what its cameras see, and where its joints have to be."""
