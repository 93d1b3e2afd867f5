# SPDX-License-Identifier: Apache-2.0
"""Named causes of PolicyStatus.cause. Programs compare these; people read PolicyStatus.message."""

from typing import Final

NO_POLICY: Final = "NO_POLICY"
NOT_ACTIVE: Final = "NOT_ACTIVE"
LOADING: Final = "LOADING"
SWITCHING: Final = "SWITCHING"
SWITCH_FAILED: Final = "SWITCH_FAILED"
UNLOADED: Final = "UNLOADED"
NO_CAMERAS: Final = "NO_CAMERAS"
LOAD_FAILED: Final = "LOAD_FAILED"
SPEC_REJECTED: Final = "SPEC_REJECTED"
REPLICAS_LOST: Final = "REPLICAS_LOST"
INFERENCE_STUCK: Final = "INFERENCE_STUCK"
