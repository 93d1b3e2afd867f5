"""The demo: the whole chain as separate processes on this machine, some episodes, a report and a film."""
