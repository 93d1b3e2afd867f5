# SPDX-License-Identifier: Apache-2.0
"""A short film of a run: recorded while it goes, drawn and encoded after it."""
