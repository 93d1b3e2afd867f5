# SPDX-License-Identifier: Apache-2.0
"""The real system on the virtual arm, faults to inject into it, and clocks on both."""
