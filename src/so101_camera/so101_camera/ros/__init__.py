# SPDX-License-Identifier: Apache-2.0
"""The nodes and their topics. Imports nothing: `start` minds signals before anything else is imported."""
