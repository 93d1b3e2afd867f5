# SPDX-License-Identifier: Apache-2.0
"""Types of the arrays that hold joint positions, counts and flags; shapes stand at each use."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
