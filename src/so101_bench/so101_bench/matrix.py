# SPDX-License-Identifier: Apache-2.0
"""The standard set of runs: wires from good to bad, and what our goals say of each."""

from dataclasses import replace

from so101_bench.options import BenchOptions
from so101_bench.two_hosts.wire import NO_WIRE, Wire


def cases(options: BenchOptions) -> list[BenchOptions]:
    """Return the runs of `--matrix`, best wire first; the first is loopback and kills the server, two cut the wire.

    Seconds, rounds, delay and queue settings are those given. Where frames are lost our queue requests adaptively:
    chunk 50 with threshold 0.5 has no time to spare for a retransmission over a long line.
    """
    one = replace(options, matrix=False, restart=False)
    adaptive = replace(one, request_policy="adaptive")
    return [
        replace(one, wire=NO_WIRE, policy_delay_s=0.0),
        replace(one, wire=NO_WIRE, restart=options.restart),
        replace(one, wire=NO_WIRE, policy_delay_s=0.3),
        replace(one, wire=Wire(rate_mbit=1000)),
        replace(one, wire=Wire(rate_mbit=100)),
        replace(one, wire=Wire(rate_mbit=50), cut_s=5.0),
        replace(one, wire=Wire(rate_mbit=20)),
        replace(one, wire=Wire(rate_mbit=100, delay_ms=20)),
        replace(adaptive, wire=Wire(rate_mbit=100, loss_pct=1)),
        replace(adaptive, wire=Wire(rate_mbit=20, delay_ms=40, jitter_ms=10, loss_pct=5)),
        replace(adaptive, wire=Wire(rate_mbit=100, delay_ms=100)),
    ]
