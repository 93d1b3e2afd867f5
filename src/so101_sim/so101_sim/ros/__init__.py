# SPDX-License-Identifier: Apache-2.0
"""The nodes: cameras and judge. Imports nothing: `start` minds signals before anything else is imported."""
