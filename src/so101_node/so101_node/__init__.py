# SPDX-License-Identifier: Apache-2.0
"""What every node of this workspace shares, in rooms; each says what it holds, and is imported by its own name.

protocol: what travels between nodes, once. parameters: declared, checked and explained. threads: at a fixed rate, for
newest values, and how they fail. process: one node as one process. diagnostics: named causes, and publishing them.
topics: QoS, publishing twice, the graph. timing: clock, timers, the first seconds. metrics: where time went.

Free of ROS, so that a core may import them: protocol, parameters, threads, diagnostics, timing, metrics, but for the
modules that tie a room to a node (`parameters.declaring`, `diagnostics.publishing`, `timing.timers`,
`protocol.spec_message`). Beside the rooms lie what programs need that are no nodes (`exit_codes`, `one_line_parser`,
`log_lines`), what needs OpenCV (`raw_image`), and what must import nothing (`early_signals`).
"""
