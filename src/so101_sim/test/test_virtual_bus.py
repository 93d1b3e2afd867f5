# SPDX-License-Identifier: Apache-2.0
import pytest
from so101_sim.core import servo_registers as reg
from so101_sim.core.servo_packets import Instruction, checksum, status_packet
from so101_sim.core.virtual_bus import VirtualBus
from so101_sim.core.virtual_servo import VirtualServo

MBAUD = 1_000_000


def make_bus(count: int = 3, **options: int) -> VirtualBus:
    settings = {reg.RETURN_DELAY_TIME: 0}
    return VirtualBus([VirtualServo(i, settings, 2000.0 + i) for i in range(1, count + 1)], **options)


def instruction(servo_id: int, code: int, *parameters: int) -> bytes:
    body = bytes((servo_id, len(parameters) + 2, code, *parameters))
    return b"\xff\xff" + body + bytes((checksum(body),))


def ask(bus: VirtualBus, *request: int, baud: int = MBAUD) -> bytes:
    """The answer to one request, whenever it comes."""
    bus.receive(instruction(*request), baud, now_ns=0)
    return bus.due(10**12)


def test_ping_is_answered_by_the_servo_that_is_meant() -> None:
    assert ask(make_bus(), 2, Instruction.PING) == status_packet(2, 0)


def test_a_broadcast_ping_is_answered_by_all_in_turn() -> None:
    assert ask(make_bus(), 0xFE, Instruction.PING) == b"".join(status_packet(i, 0) for i in (1, 2, 3))


def test_read_returns_registers() -> None:
    assert ask(make_bus(), 1, Instruction.READ, reg.PRESENT_POSITION, 2) == status_packet(1, 0, b"\xd1\x07")


def test_write_is_acknowledged_and_done() -> None:
    bus = make_bus()
    assert ask(bus, 1, Instruction.WRITE, reg.GOAL_POSITION, 0xE8, 3) == status_packet(1, 0)
    assert bus.servos[0].goal == 1000


def test_with_response_level_0_only_ping_and_read_are_answered() -> None:
    bus = make_bus()
    ask(bus, 1, Instruction.WRITE, reg.RESPONSE_STATUS_LEVEL, 0)
    assert ask(bus, 1, Instruction.WRITE, reg.GOAL_POSITION, 0xE8, 3) == b""
    assert bus.servos[0].goal == 1000
    assert ask(bus, 1, Instruction.PING) == status_packet(1, 0)
    assert ask(bus, 1, Instruction.READ, reg.ID, 1) == status_packet(1, 0, b"\x01")


def test_a_broadcast_write_reaches_all_and_is_not_answered() -> None:
    bus = make_bus()
    assert ask(bus, 0xFE, Instruction.WRITE, reg.TORQUE_ENABLE, 1) == b""
    assert all(servo.torque_on for servo in bus.servos)


def test_registered_writes_happen_together_on_action() -> None:
    bus = make_bus()
    for servo_id in (1, 2):
        assert ask(bus, servo_id, Instruction.REG_WRITE, reg.GOAL_POSITION, 0xE8, 3) == status_packet(servo_id, 0)
    assert [servo.goal for servo in bus.servos] == [2001, 2002, 2003]
    assert ask(bus, 0xFE, Instruction.ACTION) == b""
    assert [servo.goal for servo in bus.servos] == [1000, 1000, 2003]


def test_sync_read_answers_in_the_order_asked_and_leaves_out_who_is_missing() -> None:
    bus = make_bus()
    bus.servos[1].cut_power()
    answer = ask(bus, 0xFE, Instruction.SYNC_READ, reg.PRESENT_POSITION, 2, 3, 2, 1)
    assert answer == status_packet(3, 0, b"\xd3\x07") + status_packet(1, 0, b"\xd1\x07")


def test_sync_write_reaches_each_servo_and_is_not_answered() -> None:
    bus = make_bus()
    assert ask(bus, 0xFE, Instruction.SYNC_WRITE, reg.GOAL_POSITION, 2, 1, 0xE8, 3, 3, 0xE9, 3, 77, 1, 1) == b""
    assert [servo.goal for servo in bus.servos] == [1000, 2002, 1001]


@pytest.mark.parametrize(
    "request_",
    [
        (1, Instruction.READ, 56),
        (1, Instruction.WRITE, 42),
        (1, 0x77),
        (9, Instruction.PING),
        (0xFE, Instruction.SYNC_READ, 56, 2),
        (0xFE, Instruction.SYNC_WRITE, 42, 2, 1, 0),
        (0xFE, Instruction.SYNC_WRITE, 42, 0, 1),
    ],
)
def test_malformed_requests_and_strangers_are_met_with_silence(request_: tuple[int, ...]) -> None:
    bus = make_bus()
    before = [bytes(servo.registers) for servo in bus.servos]
    assert ask(bus, *request_) == b""
    assert [bytes(servo.registers) for servo in bus.servos] == before


def test_a_servo_that_gets_a_new_id_answers_to_that() -> None:
    bus = make_bus()
    ask(bus, 1, Instruction.WRITE, reg.ID, 9)
    assert ask(bus, 1, Instruction.PING) == b""
    assert ask(bus, 9, Instruction.PING) == status_packet(9, 0)


def test_the_status_byte_travels_in_every_answer() -> None:
    bus = make_bus()
    bus.servos[2].injected_status = reg.STATUS_OVERLOAD
    assert ask(bus, 3, Instruction.PING) == status_packet(3, 32)


def test_at_a_wrong_baud_rate_nobody_answers_and_nothing_happens() -> None:
    bus = make_bus()
    assert ask(bus, 1, Instruction.WRITE, reg.GOAL_POSITION, 0xE8, 3, baud=500_000) == b""
    assert (bus.servos[0].goal, bus.wrong_baud_bytes) == (2001, 9)


def test_a_servo_set_to_another_baud_rate_answers_at_that_rate_only() -> None:
    bus = make_bus()
    ask(bus, 1, Instruction.WRITE, reg.BAUD_RATE, 1)
    assert ask(bus, 1, Instruction.PING) == b""
    assert ask(bus, 0xFE, Instruction.PING, baud=500_000) == status_packet(1, 0)


def test_an_answer_arrives_when_the_wire_has_carried_request_and_answer() -> None:
    bus = make_bus(6)
    request = instruction(0xFE, Instruction.SYNC_READ, reg.PRESENT_POSITION, 15, 1, 2, 3, 4, 5, 6)
    bus.receive(request, MBAUD, now_ns=1000)
    due_ns = 1000 + (len(request) + 6 * 21) * 10_000  # 1.4 ms; 1.66 ms were measured with a USB adapter
    assert bus.next_due_ns == due_ns
    assert bus.due(due_ns - 1) == b""
    assert len(bus.due(due_ns)) == 6 * 21
    assert bus.next_due_ns is None


def test_the_factory_return_delay_costs_half_a_millisecond_a_servo() -> None:
    bus = VirtualBus([VirtualServo(i) for i in (1, 2)])
    bus.receive(instruction(0xFE, Instruction.PING), MBAUD, now_ns=0)
    assert bus.next_due_ns == (6 + 12) * 10_000 + 2 * 500_000


def test_an_infinitely_fast_wire_answers_at_once() -> None:
    bus = make_bus(byte_ns=0)
    bus.receive(instruction(1, Instruction.PING), MBAUD, now_ns=7)
    assert bus.due(7) == status_packet(1, 0)


def test_late_answers_come_late_and_in_order() -> None:
    bus = make_bus(byte_ns=0)
    bus.faults.late_ns = 50_000_000
    bus.receive(instruction(1, Instruction.PING), MBAUD, now_ns=0)
    bus.faults.late_ns = 0
    bus.receive(instruction(2, Instruction.PING), MBAUD, now_ns=10)
    assert bus.due(49_999_999) == b""
    assert bus.due(50_000_000) == status_packet(1, 0) + status_packet(2, 0)


def test_noise_damages_that_share_of_the_answers_bytes_and_no_request() -> None:
    bus = make_bus(byte_ns=0)
    bus.faults.corrupt_pct = 5.0
    clean = status_packet(1, 0, bytes(bus.servos[0].registers[:60]))
    damaged = total = 0
    for _ in range(200):
        answer = ask(bus, 1, Instruction.READ, 0, 60)
        assert len(answer) == len(clean)
        damaged += sum(a != b for a, b in zip(answer, clean, strict=True))
        total += len(clean)
    assert damaged / total == pytest.approx(0.05, rel=0.2)
    assert bus.bad_checksums == 0


def test_dropped_answers_are_whole_answers() -> None:
    bus = make_bus(byte_ns=0)
    bus.faults.drop_pct = 50.0
    lengths = {len(ask(bus, 0xFE, Instruction.PING)) for _ in range(50)}
    assert lengths == {0, 6, 12, 18}


def test_pulling_the_plug_drops_what_is_under_way() -> None:
    bus = make_bus()
    bus.receive(instruction(1, Instruction.PING) + b"\xff\xff\x01", MBAUD, now_ns=0)
    bus.reset()
    assert bus.due(10**12) == b""
    assert ask(bus, 1, Instruction.PING) == status_packet(1, 0)
