# SPDX-License-Identifier: Apache-2.0
"""A package, so that the system which these tests share ends with them: see only_system in conftest.py."""
