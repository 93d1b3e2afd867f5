"""Names of the states in status messages, as people read them."""

from so101_msgs.msg import DriverStatus, PolicyStatus, QueueStatus

QUEUE_STATES: dict[int, str] = {
    getattr(QueueStatus, name): name for name in ("IDLE", "WAITING", "RUNNING", "STARVED", "HOLDING", "STOPPED")
}
DRIVER_STATES: dict[int, str] = {
    getattr(DriverStatus, name): name for name in ("NO_BUS", "RELEASED", "HOLD", "ENGAGED", "LATCHED")
}
SERVER_STATES: dict[int, str] = {
    getattr(PolicyStatus, name): name for name in ("UNCONFIGURED", "LOADING", "READY", "ERROR")
}
