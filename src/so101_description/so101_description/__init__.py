# SPDX-License-Identifier: Apache-2.0
"""The SO-101 follower arm as a URDF, where its meshes are, and where its links are for given joint positions."""
