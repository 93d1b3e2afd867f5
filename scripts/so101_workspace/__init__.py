# SPDX-License-Identifier: Apache-2.0
"""What `./so101` does before the environment exists: find Python, make `.venv`, build, hand over.

Standard library only, Python 3.8 or newer: it runs with whatever the machine has.
"""
