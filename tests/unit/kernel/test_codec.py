"""Messages to the kernel, byte by byte, against what iproute2 sends; and rows from what it answers."""

import errno
import struct
from ipaddress import ip_address

from ncgd.drivers.kernel import codec, parse
from ncgd.drivers.kernel.parse import Refusal, RouteRows
from ncgd.model.fib import BACKSTOP_METRIC, METRIC, PROTOCOL, Nexthop, NexthopGroup
from ncgd.model.prefix import Prefix
from ncgd.model.prefix import parse as prefix

V4, V6 = prefix("10.128.0.0/20"), prefix("2001:db8::/32")
NAMES = {7: "ncg-t1"}


def body(message: bytes) -> tuple[bytes, int, int]:
    assert len(message) == struct.unpack_from("=I", message)[0]
    assert len(message) % 4 == 0
    return message, codec.HEADER.size, len(message)


def test_a_route_message_is_what_the_headers_say() -> None:
    message = codec.set_route(5, V4, 0x9A00_0001)
    length, kind, flags, sequence, port = codec.HEADER.unpack_from(message)
    assert (length, kind, sequence, port) == (52, codec.RTM_NEWROUTE, 5, 0)
    assert flags == 0x501  # REQUEST | CREATE | REPLACE: a change swaps the row in one step
    assert message[16:28] == bytes((2, 20, 0, 0, 254, PROTOCOL, 0, 1, 0, 0, 0, 0))
    assert message[28:] == (struct.pack("=HH4sHHIHHI", 8, 1, bytes((10, 128, 0, 0)), 8, 6, METRIC, 8, 30, 0x9A00_0001))


def test_a_deletion_names_protocol_and_metric_so_that_no_other_row_matches() -> None:
    message = codec.delete_route(0, V6)
    assert struct.unpack_from("=HH", message, 4) == (codec.RTM_DELROUTE, codec.NLM_F_REQUEST)
    assert message[16:24] == bytes((10, 32, 0, 0, 254, PROTOCOL, 255, 0))
    assert message.endswith(struct.pack("=HHI", 8, 6, METRIC))


def test_routes_and_backstops_are_read_as_they_were_written() -> None:
    rows = RouteRows()
    for prefix_ in (V4, V6, prefix("0.0.0.0/0"), prefix("::/0")):
        rows.fold(*body(codec.set_route(0, prefix_, 0x9A00_0001)))
        rows.fold(*body(codec.set_backstop(0, prefix_)))
    prefixes: set[Prefix] = {V4, V6, prefix("0.0.0.0/0"), prefix("::/0")}
    assert rows.routes == dict.fromkeys(prefixes, 0x9A00_0001)
    assert rows.backstops == prefixes


def test_rows_of_other_protocols_metrics_and_types_are_passed_over() -> None:
    rows = RouteRows()
    route = bytearray(codec.set_route(0, V4, 1))
    route[16 + 5] = 4
    rows.fold(*body(bytes(route)))
    other_metric = codec.set_route(0, V4, 1).replace(struct.pack("=I", METRIC), struct.pack("=I", METRIC + 1))
    rows.fold(*body(other_metric))
    unicast_backstop = bytearray(codec.set_backstop(0, V4))
    unicast_backstop[16 + 7] = codec.RTN_UNICAST
    rows.fold(*body(bytes(unicast_backstop)))
    assert (rows.routes, rows.backstops) == ({}, set())


def test_a_route_of_ours_without_a_nexthop_id_reads_as_0() -> None:
    rows = RouteRows()
    backstop = codec.set_backstop(0, V4)
    rows.fold(*body(backstop.replace(struct.pack("=I", BACKSTOP_METRIC), struct.pack("=I", METRIC))))
    assert rows.routes == {V4: 0}


def test_nexthops_are_read_as_they_were_written() -> None:
    gateway = ip_address("fe80::1")
    for row, message in (
        (Nexthop(id=1, version=4, interface="ncg-t1"), codec.set_nexthop(0, 1, 4, 7, None)),
        (
            Nexthop(id=2, version=6, interface="ncg-t1", gateway=gateway),
            codec.set_nexthop(0, 2, 4, 7, gateway),
        ),
        (Nexthop(id=3, version=6), codec.set_nexthop(0, 3, 6, None, None)),
        (NexthopGroup(id=4, members=(1, 2)), codec.set_group(0, 4, (1, 2))),
    ):
        assert parse.nexthop(*body(message), NAMES) == row


def test_a_nexthop_whose_device_is_gone_is_none() -> None:
    assert parse.nexthop(*body(codec.set_nexthop(0, 1, 4, 8, None)), NAMES) is None


def refused(code: int, text: str = "") -> tuple[int, bytes]:
    header = codec.HEADER.pack(0, codec.RTM_NEWROUTE, 0, 3, 0)
    tlvs = codec.attribute(1, text.encode() + b"\0") if text else b""
    return (codec.NLM_F_ACK_TLVS if text else 0), struct.pack("=i", -code) + header + tlvs


def test_refusals_carry_errno_and_the_kernels_words() -> None:
    flags, data = refused(errno.EINVAL, "Nexthop id does not exist")
    refusal = parse.refusal(codec.NLMSG_ERROR, flags, data, 0, len(data))
    assert refusal == Refusal(errno.EINVAL, "Nexthop id does not exist")
    assert str(refusal) == "Nexthop id does not exist (errno 22)"
    flags, data = refused(errno.ENETDOWN)
    assert str(parse.refusal(codec.NLMSG_ERROR, flags, data, 0, len(data))) == "Network is down (errno 100)"


def test_an_acknowledgement_and_the_end_of_a_dump_are_no_refusals() -> None:
    _, data = refused(0)
    assert parse.refusal(codec.NLMSG_ERROR, 0, data, 0, len(data)) is None
    assert parse.refusal(codec.NLMSG_DONE, 0, struct.pack("=i", 0), 0, 4) is None
    assert parse.refusal(codec.NLMSG_DONE, 0, b"", 0, 0) is None
    assert parse.refusal(codec.NLMSG_DONE, 0, struct.pack("=i", -2), 0, 4) == Refusal(errno.ENOENT)
