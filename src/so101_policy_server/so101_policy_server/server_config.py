"""What the server's core must know beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from so101_policy_server.policy import PolicyDescription, PolicySource
from so101_policy_server.policy_choice import PolicyChoice
from so101_policy_server.spec_check import Served


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
        from_topics: pictures and poses are the newest that plain sensor_msgs topics brought, not what a request brings.
        refuses_distortion: whether pictures of another aspect ratio than the policy's are refused, not only warned of.
    """

    source: PolicySource
    served: Served
    cameras: tuple[str, ...] = ()
    task: str = ""
    allowed_policies: tuple[str, ...] = ()
    obs_queue_timeout_s: float = 1.0
    max_frame_age_s: float = 0.2
    inference_latency_s: float = 0.033
    inference_timeout_s: float = 10.0
    from_topics: bool = False
    refuses_distortion: bool = True

    @property
    def choice(self) -> PolicyChoice:
        """Which policies robots may name."""
        return PolicyChoice(self.source, self.allowed_policies)

    def applied_to(self, source: PolicySource, policy: PolicyDescription) -> ServerConfig:
        """What of this holds for a policy: `cameras` and a renaming are said of the server's own, and of no other.

        Of another, a renaming to an image that it does not read is not meant.
        """
        if source == self.source or not self.source.path:
            return self
        read = {image.key for image in policy.images}
        rename = {before: after for before, after in self.served.rename_map.items() if after in read}
        return replace(self, cameras=(), served=replace(self.served, rename_map=rename))
