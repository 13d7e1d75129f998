"""Address vectors (5.9), and the 40 bytes in front of a received datagram (7.5)."""

import struct
from typing import NamedTuple

IPV4_MAPPED = bytes(10) + b'\xff\xff'


class Route(NamedTuple):
    dgid: bytes
    flow_label: int
    sgid_index: int
    hop_limit: int
    traffic_class: int

    @staticmethod
    def parse(data):
        return Route(*struct.unpack_from('<16sIBBB', data))

    def pack(self):
        return struct.pack('<16sIBBB17x', *self)


def global_route(sgid, route, length, imm):
    """The IP header of the packet: behind it are UDP, BTH, DETH, the immediate data, the payload and the CRC."""
    length += -length % 4 + 8 + 12 + 8 + (4 if imm is not None else 0) + 4
    if not (sgid.startswith(IPV4_MAPPED) and route.dgid.startswith(IPV4_MAPPED)):
        word = 6 << 28 | route.traffic_class << 20 | route.flow_label
        return struct.pack('>IHBB', word, length, 17, route.hop_limit) + sgid + route.dgid
    header = struct.pack('>BBHHHBBH4s4s', 0x45, route.traffic_class, 20 + length, 0, 0x4000, route.hop_limit, 17, 0,
                         sgid[12:], route.dgid[12:])
    total = sum(struct.unpack('>10H', header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return bytes(20) + header[:10] + struct.pack('>H', total ^ 0xffff) + header[12:]
