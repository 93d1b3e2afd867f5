# SPDX-License-Identifier: Apache-2.0
"""The nodes link_robot and link_server: topics, parameters, diagnostics."""
