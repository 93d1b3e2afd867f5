# SPDX-License-Identifier: Apache-2.0
"""The adaptor to LeRobot. Modules that import it, or torch, say so; finding and judging files needs neither."""
