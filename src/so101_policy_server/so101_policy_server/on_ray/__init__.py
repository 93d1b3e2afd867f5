# SPDX-License-Identifier: Apache-2.0
"""The adaptor to Ray, which runs replicas of the policy in processes of its own. Ray is imported when it is used."""
