"""GDB's commands for Hilum's kernel under QEMU (docs/debugging.md): gdb build/hilum.elf -x scripts/gdb/hilum.py -ex 'hilum-connect'

Everything is read by physical address, so that it works whatever a core executes at the moment: root mode's addresses do not exist in a guest's
tables. Nothing is changed. Root mode may be in the middle of a change: lists are followed for so many steps at most.
"""
import gdb

KERNEL_BASE = 0xFFFFFFFF80000000  # arch/x86_64/layout.h
POOL_BASE = 0xFFFF800000000000
POOL_END = 0xFFFFA00000000000
LIST_MAX = 4096
DEFAULT_TARGET = "127.0.0.1:1234"  # of scripts/run --gdb


class Memory:
    """Physical memory, as a context manager: meanwhile QEMU's stub takes addresses for physical ones."""

    def __enter__(self):
        gdb.execute("maintenance packet Qqemu.PhyMemMode:1", to_string=True)
        return self

    def __exit__(self, *_):
        gdb.execute("maintenance packet Qqemu.PhyMemMode:0", to_string=True)

    @staticmethod
    def physical(address):
        if address >= KERNEL_BASE:
            return address - KERNEL_BASE
        if POOL_BASE <= address < POOL_END:
            return address - POOL_BASE
        raise gdb.GdbError(f"{address:#x} is neither in the kernel's image nor in its pool")

    def read(self, address, kind):
        """A value of that type; its own memory is a copy here."""
        data = gdb.selected_inferior().read_memory(self.physical(address), kind.sizeof)
        return gdb.Value(bytes(data), kind)

    def variable(self, name):
        place = gdb.parse_and_eval(f"&{name}")
        return self.read(int(place), place.type.target())

    def at(self, pointer):
        """What a pointer that was read points to, or None."""
        return self.read(int(pointer), pointer.type.target()) if int(pointer) else None

    def vms(self):
        """Address and value of each VM, in the order of creation."""
        found, pointer = [], self.variable("vm_list")
        while int(pointer) and len(found) < LIST_MAX:
            vm = self.at(pointer)
            found.append(vm)
            pointer = vm["next"]
        return found[::-1]

    def vcpus(self, vm):
        first, last = vm["vcpu"].type.range()
        return [self.at(vm["vcpu"][i]) for i in range(first, last + 1) if int(vm["vcpu"][i])]

    def name(self, vm):
        return vm["name"].string() or f"vm{int(vm['id'])}"


def enum_names(name):
    """Names of an enum's values without their common prefix, by value."""
    fields = gdb.lookup_type(f"enum {name}").fields()
    return {field.enumval: field.name.split("_", 1)[1].lower() for field in fields}


class Connect(gdb.Command):
    """hilum-connect [HOST:PORT | SOCKET]: to the machine of `scripts/run --gdb`. It stands still then; `continue` lets it run."""

    def __init__(self):
        super().__init__("hilum-connect", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        for setting in ("architecture i386:x86-64", "pagination off", "code-cache off", "stack-cache off", "max-value-size unlimited"):
            gdb.execute(f"set {setting}", to_string=True)
        gdb.execute(f"target remote {argument or DEFAULT_TARGET}", from_tty)


class Vms(gdb.Command):
    """hilum-vms: all VMs, how many vCPUs they have, and what pages their nested tables take."""

    def __init__(self):
        super().__init__("hilum-vms", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        with Memory() as memory:
            print("id  vcpus  started  table-pages  devices  name")
            for vm in memory.vms():
                print(f"{int(vm['id']):<3} {len(memory.vcpus(vm)):<6} {'yes' if vm['started'] else 'no':<8} "
                      f"{int(vm['npt']['table_pages']):<12} {int(vm['devices']):<8} {memory.name(vm)}")


class Vcpus(gdb.Command):
    """hilum-vcpus: all vCPUs, their state as the scheduler sees it, and where they were at their last exit."""

    def __init__(self):
        super().__init__("hilum-vcpus", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        states = enum_names("vcpu_state")
        with Memory() as memory:
            running = {int(memory.at(memory.variable("cpu_table")[i])["current"]): i for i in range(int(memory.variable("cpu_count")))}
            print("vm/vcpu           state      stopped  core  rip at last exit    requests")
            for vm in memory.vms():
                for v in memory.vcpus(vm):
                    place = int(vm["vcpu"][int(v["index"])]) if int(v["index"]) <= vm["vcpu"].type.range()[1] else 0
                    core = int(memory.at(v["cpu"])["arch"]["id"]) if int(v["cpu"]) else -1
                    print(f"{memory.name(vm) + '/' + str(int(v['index'])):<17} {states.get(int(v['state']), '?'):<10} {int(v['stopped']):<8} "
                          f"{core}{'*' if place in running else ' ':<4} {int(v['rip']):#018x}  {int(v['requests']):#x}")
            print("* is what the core runs now")


class Frames(gdb.Command):
    """hilum-frames: frames by type, and the free blocks by size."""

    def __init__(self):
        super().__init__("hilum-frames", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        with Memory() as memory:
            counts = memory.variable("'mm/frame.c'::counts")
            for value, name in sorted(enum_names("frame_type").items()):
                if value <= counts.type.range()[1] and int(counts[value]):
                    print(f"{name:<10} {int(counts[value]):>10} frames {int(counts[value]) * 4:>12} KiB")
            total = int(memory.variable("frame_total"))
            print(f"{'all':<10} {total:>10} frames")
            blocks = memory.variable("'mm/frame.c'::general")["blocks"]
            free = [(4 << order, int(blocks[order])) for order in range(blocks.type.range()[1] + 1) if int(blocks[order])]
            print("free blocks:", ", ".join(f"{count} of {kib} KiB" for kib, count in free) or "none")


class Log(gdb.Command):
    """hilum-log [LINES]: the end of the kernel's log (20 lines)."""

    def __init__(self):
        super().__init__("hilum-log", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        count = int(argument or 20)
        with Memory() as memory:
            ring = memory.variable("log_ring")
            size, written = int(ring["size"]), int(ring["write_seq"])
            place = int(gdb.parse_and_eval("&log_ring")) + ring.type["data"].bitpos // 8
            data = bytes(gdb.selected_inferior().read_memory(memory.physical(place), size))
        text = data[:written] if written <= size else data[written % size:] + data[:written % size]
        print(*text.decode("ascii", "replace").splitlines()[-count:], sep="\n")


for command in (Connect, Vms, Vcpus, Frames, Log):
    command()
