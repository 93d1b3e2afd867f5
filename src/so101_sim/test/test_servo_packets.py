# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st
from so101_sim.core.servo_packets import PARTIAL_TIMEOUT_NS, PacketParser, Request, checksum, status_packet

READ_POSITION_OF_3 = bytes.fromhex("ff ff 03 04 02 38 02 bc")  # checksum by hand: ~(03 + 04 + 02 + 38 + 02) = ~43


def instruction(servo_id: int, code: int, parameters: bytes = b"") -> bytes:
    body = bytes((servo_id, len(parameters) + 2, code)) + parameters
    return b"\xff\xff" + body + bytes((checksum(body),))


packets = st.builds(instruction, st.integers(0, 254), st.integers(0, 255), st.binary(max_size=40))


def test_the_checksum_is_the_inverted_sum() -> None:
    assert instruction(3, 2, b"\x38\x02") == READ_POSITION_OF_3


def test_a_packet_is_understood() -> None:
    assert PacketParser().feed(READ_POSITION_OF_3, 0) == [Request(3, 2, b"\x38\x02", 8)]


def test_a_status_packet_carries_id_status_and_data() -> None:
    assert status_packet(3, 32, b"\x00\x08") == bytes.fromhex("ff ff 03 04 20 00 08 d0")


@given(st.lists(packets, max_size=4), st.data())
def test_packets_are_found_however_the_stream_is_cut(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parser = PacketParser()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += parser.feed(stream[start:end], 0)
    assert [instruction(r.servo_id, r.instruction, r.parameters) for r in found] == sent


@given(st.binary(max_size=300), packets)
def test_after_garbage_and_a_pause_the_next_packet_is_understood(garbage: bytes, sent: bytes) -> None:
    parser = PacketParser()
    parser.feed(garbage, 0)
    found = parser.feed(sent, PARTIAL_TIMEOUT_NS + 1)
    assert [instruction(r.servo_id, r.instruction, r.parameters) for r in found] == [sent]


def test_garbage_without_a_header_costs_no_packet_behind_it() -> None:
    assert len(PacketParser().feed(b"\x00\x01garbage\xff" + READ_POSITION_OF_3, 0)) == 1


def test_a_damaged_packet_is_dropped_and_counted_and_the_next_one_is_understood() -> None:
    parser = PacketParser()
    damaged = READ_POSITION_OF_3[:-1] + b"\x00"
    assert len(parser.feed(damaged + READ_POSITION_OF_3, 0)) == 1
    assert parser.bad_checksums == 1


def test_a_packet_that_stops_in_the_middle_is_given_up() -> None:
    parser = PacketParser()
    assert parser.feed(READ_POSITION_OF_3[:5], 0) == []
    assert parser.feed(READ_POSITION_OF_3[5:], PARTIAL_TIMEOUT_NS + 1) == []
    assert parser.feed(READ_POSITION_OF_3, PARTIAL_TIMEOUT_NS + 2)


def test_a_packet_may_come_in_two_parts_within_the_timeout() -> None:
    parser = PacketParser()
    parser.feed(READ_POSITION_OF_3[:5], 0)
    assert parser.feed(READ_POSITION_OF_3[5:], PARTIAL_TIMEOUT_NS)


@given(st.binary(max_size=2000))
def test_the_parser_never_keeps_more_than_one_packet(noise: bytes) -> None:
    parser = PacketParser()
    found = parser.feed(noise, 0)
    kept = len(noise) - parser.skipped_bytes - sum(request.wire_bytes for request in found)
    assert 0 <= kept <= 254
