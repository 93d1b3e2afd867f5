# SPDX-License-Identifier: Apache-2.0
"""Ways to run the same policy faster, each tried at load: kept where its chunks stay within a bound and it is faster.

`trials` tries and judges; the other modules hold one option each or a few that belong together; `options` lists them.
"""
