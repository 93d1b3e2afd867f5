# SPDX-License-Identifier: Apache-2.0
"""Every input of the core with what it decided: as a journal, as messages, in replay, and in virtual time."""
