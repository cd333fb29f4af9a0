"""A GUID partition table: UEFI Specification 2.10, 5.3."""
import struct
import uuid
import zlib

SECTOR = 512
KIND = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")  # a partition with data


def gpt(sectors, partitions):
    """The bytes of a disk of that many sectors, with empty partitions: (first, sectors, name, uuid)."""
    entries = b"".join(KIND.bytes_le + number.bytes_le + struct.pack("<QQQ", first, first + count - 1, 0)
                       + name.encode("utf-16-le").ljust(72, b"\0") for first, count, name, number in partitions)
    entries = entries.ljust(128 * 128, b"\0")

    def header(mine, other, table):
        def pack(crc):
            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, mine, other, 34, sectors - 34, bytes(16),
                               table, 128, 128, zlib.crc32(entries))
        return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")

    disk = bytes(SECTOR) + header(1, sectors - 1, 2) + entries
    tail = entries + header(sectors - 1, 1, sectors - 33)
    return disk + bytes(sectors * SECTOR - len(disk) - len(tail)) + tail


STATE_LABEL = "hilum-state"
STATE_FIRST = 2048  # sectors
STATE_SECTORS = (4 << 20) // SECTOR


def state_disk():
    """The bytes of a disk whose one partition Hilum keeps its state in."""
    return gpt(STATE_FIRST + STATE_SECTORS + STATE_FIRST, [(STATE_FIRST, STATE_SECTORS, STATE_LABEL, uuid.uuid4())])
