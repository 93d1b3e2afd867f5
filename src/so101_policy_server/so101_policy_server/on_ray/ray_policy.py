# SPDX-License-Identifier: Apache-2.0
"""A replica of the policy in a process of Ray, as the server's threads see it: a policy like any other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from so101_policy_server.on_ray.cluster import Cluster
from so101_policy_server.on_ray.policy_actor import CallResult, PolicyActor
from so101_policy_server.policy import (
    Leftover,
    Loader,
    Observation,
    Policy,
    PolicyDescription,
    PolicyError,
    PolicyLoadError,
    PolicyNotReadyError,
    PolicySource,
    Prediction,
    Progress,
    ReplicaLostError,
)

LOOK_S: Final = 1.0
"""How often a load that takes long looks whether the cluster is still there."""

ERRORS: Final = {error.__name__: error for error in (PolicyLoadError, PolicyNotReadyError)}


def ray_loader(library: str, replicas: int, cluster: Cluster, inference_timeout_s: float) -> Loader:
    """A loader that makes one more replica at each call.

    Args:
        library: name of the library whose policies are served.
        replicas: how many there will be.
        cluster: runs them.
        inference_timeout_s: a replica that takes longer for a request is given up, s.
    """

    def load(source: PolicySource, progress: Progress) -> Policy:
        ray = cluster.connect()
        kind = "GPU" if source.device == "cuda" else "CPU"
        _check_room(ray, cluster, kind, replicas)
        progress(f"waiting for a {kind} of the Ray cluster")
        actor_class = ray.remote(PolicyActor).options(
            num_cpus=int(kind == "CPU"), num_gpus=int(kind == "GPU"), scheduling_strategy="SPREAD"
        )
        try:
            replica = RayPolicy(ray, cluster, actor_class.remote(), inference_timeout_s)
        except Exception as error:  # Ray raises a dozen types
            raise cluster.lost(f"Ray starts no replica: {type(error).__name__}") from error
        replica.load(library, source)
        return replica

    return load


def _check_room(ray: Any, cluster: Cluster, kind: str, replicas: int) -> None:
    """See that the cluster has as many of a kind as replicas need.

    Raises:
        PolicyLoadError: it has less.
    """
    try:
        have = int(ray.cluster_resources().get(kind, 0))
    except Exception as error:  # Ray raises a dozen types
        raise cluster.lost(f"the Ray cluster tells nothing: {type(error).__name__}") from error
    if have < replicas:
        raise PolicyLoadError(
            f"replicas = {replicas}: the Ray cluster at {cluster.address} has {have} {kind}; lower replicas, or start "
            "Ray with more"
        )


class RayPolicy:
    """`so101_policy_server.policy.BatchingPolicy`. Ray ends its process when this object is gone."""

    def __init__(self, ray: Any, cluster: Cluster, actor: Any, inference_timeout_s: float) -> None:
        self._ray, self._cluster, self._actor = ray, cluster, actor
        self._timeout_s = inference_timeout_s
        self._description: PolicyDescription | None = None

    def load(self, library: str, source: PolicySource) -> None:
        """Load the policy there.

        Raises:
            PolicyLoadError: as the library raises it.
            ReplicaLostError: the process or the cluster is gone.
        """
        self._description = self._value(self._call("load", None, library, source))

    @property
    def description(self) -> PolicyDescription:
        """What the policy reads and gives."""
        assert self._description is not None
        return self._description

    def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        """Predict one chunk.

        Raises:
            PolicyError: as the policy raises it.
            ReplicaLostError: the process is gone, or did not reply in time.
        """
        prediction: Prediction = self._value(self._call("infer", self._timeout_s, observation, leftover))
        return prediction

    def infer_batch(
        self, observations: Sequence[Observation], leftovers: Sequence[Leftover | None]
    ) -> Sequence[Prediction]:
        """Predict a chunk for each observation in one pass; raises as `infer`."""
        limit_s = self._timeout_s * len(observations)
        predictions: list[Prediction] = self._value(
            self._call("infer_batch", limit_s, list(observations), list(leftovers))
        )
        return predictions

    def reset(self) -> None:
        """Forget everything; done before the next call."""
        self._actor.reset.remote()

    def forget(self, session: str) -> None:
        """Forget a session; done before the next call."""
        self._actor.forget.remote(session)

    def _call(self, method: str, limit_s: float | None, *arguments: Any) -> CallResult:
        """Call the process and wait; without a limit for as long as the cluster is there."""
        end_s = None if limit_s is None else time.monotonic() + limit_s
        try:
            reply = getattr(self._actor, method).remote(*arguments)
            while True:
                wait_s = LOOK_S if end_s is None else max(0.0, min(LOOK_S, end_s - time.monotonic()))
                done, _ = self._ray.wait([reply], timeout=wait_s)
                if done:
                    result: CallResult = self._ray.get(reply, timeout=LOOK_S)
                    return result
                if end_s is None and not self._cluster.is_up():
                    raise self._cluster.lost("")
                if end_s is not None and time.monotonic() >= end_s:
                    self._ray.kill(self._actor)
                    raise ReplicaLostError(f"a replica has not replied within {limit_s:g} s, and was ended")
        except ReplicaLostError:
            raise
        except Exception as error:  # Ray raises a dozen types
            raise self._cluster.lost(f"the process of a replica ended ({type(error).__name__})") from error

    def _value(self, result: CallResult) -> Any:
        if result.error:
            raise ERRORS.get(result.error, PolicyError)(result.text)
        return result.value
