# SPDX-License-Identifier: Apache-2.0
"""What the server's core must know beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from so101_policy_server.core.policy_choice import PolicyChoice
from so101_policy_server.core.spec_check import ServedSettings
from so101_policy_server.policy import PolicyDescription, PolicySource


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What the parameters say.

    Attributes:
        source: the server's own policy; its path is "" when it has none.
        served: what specs are checked against.
        cameras: camera names for the policy's images in order; empty = as in the checkpoint.
        task: language instruction for requests without one.
        allowed_policies: shell patterns of further policies that robots may name.
        obs_queue_timeout_s: how long a request waits for its frames.
        max_frame_age_s: oldest frame that is used.
        inference_latency_s: a slower median is warned about.
        inference_timeout_s: an inference that takes longer is stuck.
        from_topics: frames and joint positions are the newest of plain sensor_msgs topics, not a request's own.
        replicas: how many replicas of the policy there are to be; 0 = it runs in this process.
        max_batch: most requests that go to a policy in one pass, each of another robot.
        batch_window_s: how long complete requests wait at most for those of robots that are about to ask.
        max_policies_mb: memory that loaded policies may take together, 1e6 bytes; 0 = one policy at a time.
        unload_after_s: how long a policy stays loaded that no robot uses any more, s.
        rehearse: whether a policy goes through a request that it throws away before a robot's next one.
        refuses_distortion: whether frames of another aspect ratio than the policy's are refused, not only warned of.
    """

    source: PolicySource
    served: ServedSettings
    cameras: tuple[str, ...] = ()
    task: str = ""
    allowed_policies: tuple[str, ...] = ()
    obs_queue_timeout_s: float = 1.0
    max_frame_age_s: float = 0.2
    inference_latency_s: float = 0.033
    inference_timeout_s: float = 10.0
    from_topics: bool = False
    rehearse: bool = True
    refuses_distortion: bool = True
    replicas: int = 0
    max_batch: int = 8
    batch_window_s: float = 0.01
    max_policies_mb: int = 0
    unload_after_s: float = 600.0

    @property
    def choice(self) -> PolicyChoice:
        """Which policies robots may name."""
        return PolicyChoice(self.source, self.allowed_policies)

    def applied_to(self, source: PolicySource, policy: PolicyDescription) -> ServerConfig:
        """What of this holds for a policy: `cameras` and a renaming are said of the server's own, and of no other.

        Of another, a renaming to an image that it does not read is not meant.
        """
        if source == self.source or not self.source.is_named:
            return self
        read = {image.key for image in policy.images}
        rename = {before: after for before, after in self.served.rename_map.items() if after in read}
        return replace(self, cameras=(), served=replace(self.served, rename_map=rename))
