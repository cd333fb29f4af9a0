/*
 * The Hilum ABI: everything that the kernel and the world outside root mode agree on. Shared by the kernel, the service VMs,
 * guests that know Hilum, and tests; docs/abi.md is its reference. All integers are little endian, all structs are packed by
 * their own alignment, and reserved fields are zero.
 *
 * A call: `vmmcall` (AMD) or `vmcall` (Intel), without prefixes, with the number in RAX and the arguments in RDI, RSI, RDX, R10, R8, R9. RAX returns
 * zero or a positive value on success, a negative enum hilum_error otherwise; no other register changes unless the call says so.
 */
#ifndef HILUM_ABI_H
#define HILUM_ABI_H

#ifndef __ASSEMBLER__
#include <stdint.h>
#endif

#define HILUM_ABI_VERSION 1u

/* ---- Hypervisor CPUID leaves ------------------------------------------------------------------------------------------ */
#define HILUM_CPUID_BASE     0x40000100u /* EBX, ECX, EDX = "HilumHilumHi"; EAX = last leaf */
#define HILUM_CPUID_FEATURES 0x40000101u /* EAX = HILUM_ABI_VERSION; EBX = TSC frequency in kHz */

/* ---- Call numbers ----------------------------------------------------------------------------------------------------- */
#define HILUM_CALL_BASE 0x484C0000u /* "HL" in the upper half: no collision with KVM's small numbers */

#define HC_NOP              0x484C0000u /* () -> 0 */
#define HC_BATCH            0x484C0001u /* (gpa of struct hilum_call[], count <= HILUM_BATCH_MAX) -> 0; results in the array */
#define HC_WAIT             0x484C0002u /* (HILUM_WAIT_* flags, absolute TSC deadline or 0); see struct hilum_trap */
#define HC_LOG_WRITE        0x484C0003u /* (gpa of text, bytes <= HILUM_LOG_LINE_MAX): one line into the kernel's log ring */
#define HC_HANDLE_CLOSE     0x484C0004u /* (handle) */
#define HC_HANDLE_GRANT     0x484C0005u /* (vm, handle, rights mask) -> the handle in that VM's table */
#define HC_MEMORY_CREATE    0x484C0006u /* (host, bytes, HILUM_MEMORY_* flags, address of the registers for HILUM_MEMORY_DEVICE) -> memory */
#define HC_MEMORY_MAP       0x484C0007u /* (vm, memory, gpa, offset bytes, bytes, HILUM_MAP_* rights) */
#define HC_MEMORY_UNMAP     0x484C0008u /* (vm, gpa, bytes): whole earlier mappings only */
#define HC_VM_CREATE        0x484C0009u /* (host, gpa of struct hilum_vm_config) -> vm */
#define HC_VM_DESTROY       0x484C000Au /* (vm): stops its vCPUs and gives back everything it owns */
#define HC_VM_SET_CPUID     0x484C000Bu /* (vm, gpa of struct hilum_cpuid_entry[], count <= HILUM_CPUID_MAX), before the first run */
#define HC_VM_BIND_TRAP     0x484C000Cu /* (vm, event, first port, last port): a doorbell, whose writes signal the event and go on */
#define HC_VM_SET_HANDLER   0x484C000Du /* (vm, handler vm or 0, badge): who answers its synchronous traps */
#define HC_VM_SHARED_MEMORY 0x484C000Eu /* (vm) -> memory: its struct hilum_shared_page */
#define HC_VM_STATUS        0x484C000Fu /* (vm, gpa of struct hilum_vm_status) */
#define HC_VM_INJECT_MSI    0x484C0010u /* (vm, MSI address, MSI data): SDM vol. 3A, Message Signalled Interrupts */
#define HC_VM_SET_EXTINT    0x484C0011u /* (vm, level): the 8259A's INTR line to LINT0; the vector comes by a HILUM_TRAP_INTACK */
#define HC_VM_GRANT_PORTS   0x484C0012u /* (vm, host, first port, count): direct access to host I/O ports */
#define HC_VCPU_CREATE      0x484C0013u /* (vm, index = APIC id, core or HILUM_CORE_ANY, weight) -> vcpu */
#define HC_VCPU_SET_STATE   0x484C0014u /* (vcpu, gpa of struct hilum_vcpu_state, HILUM_STATE_* mask), while it does not run */
#define HC_VCPU_GET_STATE   0x484C0015u /* (vcpu, gpa of struct hilum_vcpu_state, HILUM_STATE_* mask), while it does not run */
#define HC_VCPU_RUN         0x484C0016u /* (vcpu) */
#define HC_VCPU_PAUSE       0x484C0017u /* (vcpu): returns once it runs no more */
#define HC_VCPU_TRAP_MEMORY 0x484C0018u /* (vcpu) -> memory: its struct hilum_trap page */
#define HC_VCPU_STATS       0x484C0019u /* (vcpu, gpa of struct hilum_vcpu_stats) */
#define HC_EVENT_CREATE     0x484C001Au /* (target vm, vCPU index, bit < HILUM_EVENTS_PER_VCPU, upcall vector or 0) -> event */
#define HC_EVENT_SIGNAL     0x484C001Bu /* (event) */
#define HC_IRQ_BIND         0x484C001Cu /* (host, GSI, event): route a host interrupt of rising edges; it starts masked */
#define HC_IRQ_ACK          0x484C001Du /* (event): unmask the host interrupt that is bound to it, until it fires next */
#define HC_HOST_INFO        0x484C001Eu /* (host, gpa of struct hilum_host_info) */
#define HC_HOST_RESET       0x484C001Fu /* (host): resets the machine, and does not return */
#define HC_HOST_LOG_TAKE \
	0x484C0020u /* (host, event or 0) -> write_seq printed so far: a service VM prints the log from there; event: new lines */
#define HC_VM_UNBIND_TRAP     0x484C0021u /* (vm, first port): undo a binding */
#define HC_DEVICE_CREATE      0x484C0022u /* (host, requester id, event or 0) -> device: a PCI function, blocked; event: its faults */
#define HC_DEVICE_ASSIGN      0x484C0023u /* (device, vm or 0, HILUM_DEVICE_* flags): it reaches that VM's memory and no other; 0: nothing */
#define HC_DEVICE_BIND_IRQ    0x484C0024u /* (device, MSI index, event or 0) -> MSI address | data << 32 to program into it */
#define HC_DEVICE_STATUS      0x484C0025u /* (device, gpa of struct hilum_device_status) */
#define HC_DEVICE_DMA_ADDRESS 0x484C0026u /* (device, gpa) -> the address that the device must use for that byte and the rest of its page */
#define HC_MEMORY_DISCARD \
	0x484C0027u /* (vm, gpa, bytes <= HILUM_DISCARD_BYTES_MAX): whole 2 MiB of lazy memory that it may write become empty, for all VMs */
#define HC_VCPU_DEBUG    0x484C0028u /* (vcpu, HILUM_DEBUG_* it is to stop for) -> those that it has stopped for, while it does not run */
#define HC_VCPU_SCHEDULE 0x484C0029u /* (vcpu, gpa of struct hilum_schedule), in any state; takes effect at its next turn */
#define HC_MEMORY_DIGEST 0x484C002Au /* (memory, offset) -> a digest of the page's contents, or HILUM_DIGEST_NONE */
#define HC_MEMORY_SHARE \
	0x484C002Bu /* (memory a, offset, memory b, offset, HILUM_MEMORY_QUIET or 0) -> 1: b's page has a's frame now, copied on write; 0: they differ */
#define HC_MEMORY_MOVE 0x484C002Cu /* (memory, offset of 2 MiB, HILUM_MOVE_* flags, range) -> frames of that piece that have moved */
#define HC_HOST_FRAMES 0x484C002Du /* (host, gpa of struct hilum_frames, address, bytes <= HILUM_FRAMES_BYTES_MAX): what is in use there */
#define HC_OBJECT_INFO 0x484C002Eu /* (vm, index) -> the first handle in its table from that index on | HILUM_OBJECT_* << 32 */
#define HC_VM_REGION   0x484C002Fu /* (vm, gpa, gpa of struct hilum_region) -> 0: its first mapping that ends behind that address */
#define HC_HOST_HEALTH \
	0x484C0030u /* (host, gpa of struct hilum_host_health): also makes every core pass a point where it counts in `passed` */
#define HC_HOST_LAST_RUN 0x484C0031u /* (host, gpa of struct hilum_last_run): what is left in memory of the run before this one */
#define HC_HOST_SCHEDULE 0x484C0033u /* (host, HILUM_HOST_SCHEDULE_* flags) */
#define HC_MEMORY_STATUS 0x484C0034u /* (memory, gpa of struct hilum_memory_status) */
#define HC_MEMORY_LIMIT  0x484C0035u /* (memory, bytes or 0): it gets no frame beyond so many bytes */
#define HC_CALL_END      0x484C0036u

#define HILUM_BATCH_MAX         64u
#define HILUM_DISCARD_BYTES_MAX 0x4000000u
#define HILUM_FRAMES_BYTES_MAX  0x2000000u
#define HILUM_LOG_LINE_MAX      240u
#define HILUM_CPUID_MAX         96u
#define HILUM_CORE_ANY          0xFFFFFFFFu
#define HILUM_MAX_VCPUS         64u

/* KVM-compatible paravirtual calls answered for guests whose profile shows them (numbers and registers are KVM's). */
#define HILUM_KVM_HC_KICK_CPU 5u
#define HILUM_KVM_HC_SEND_IPI 10u

#ifndef __ASSEMBLER__

enum hilum_error {
	HILUM_OK = 0,
	HILUM_E_INVALID = -1,     /* an argument is out of range, misaligned, or has reserved bits set */
	HILUM_E_NO_MEMORY = -2,   /* the machine's frames, or the kernel's pool, are exhausted */
	HILUM_E_BAD_HANDLE = -3,  /* no such handle, stale, or of the wrong type */
	HILUM_E_DENIED = -4,      /* the handle lacks a right */
	HILUM_E_EXISTS = -5,      /* the place is taken */
	HILUM_E_NOT_FOUND = -6,   /* nothing there */
	HILUM_E_BUSY = -7,        /* the object's state forbids it now */
	HILUM_E_UNSUPPORTED = -8, /* this machine cannot do it, or there is no such call */
	HILUM_E_FAULT = -9,       /* a guest-physical argument is not mapped memory of the caller */
};

/* ---- Handles ---------------------------------------------------------------------------------------------------------- */
typedef uint32_t hilum_handle_t; /* index in bits 15:0, generation in bits 31:16; zero is never a handle */

#define HILUM_RIGHT_CONTROL (1u << 0) /* VM, vCPU: configure, run, stop, destroy; host: everything */
#define HILUM_RIGHT_MAP     (1u << 1) /* VM: change its address space; memory: map it */
#define HILUM_RIGHT_WRITE   (1u << 2) /* memory: map it writable */
#define HILUM_RIGHT_SIGNAL  (1u << 3) /* event: signal; VM: inject interrupts */
#define HILUM_RIGHT_READ    (1u << 4) /* state, status and statistics */
#define HILUM_RIGHT_GRANT   (1u << 5) /* copy the handle into another VM's table */
#define HILUM_RIGHT_BIND    (1u << 6) /* VM: bind and unbind doorbells */
#define HILUM_RIGHT_ALL     0x7Fu

/* The handles that the kernel puts into the control VM's fresh table, by index (generation 0); struct hilum_boot_info tells those of the modules. */
#define HILUM_HANDLE_SELF 1u
#define HILUM_HANDLE_HOST 2u
#define HILUM_HANDLE_LOG  3u /* memory: the kernel's log ring, <hilum/log_ring.h> */

struct hilum_call {
	uint64_t number;
	uint64_t arg[6];
	int64_t result;
};

/* ---- Service image: a flat binary that starts with this header, loaded at its load address ------------------------------- */
#define HILUM_IMAGE_MAGIC 0x494D4C48u /* "HLMI" */

struct hilum_image_header {
	uint32_t magic;
	uint32_t abi_version;
	uint64_t load_gpa;     /* bytes, 2 MiB-aligned; this header lands here */
	uint64_t image_bytes;  /* of the file */
	uint64_t memory_bytes; /* of RAM the VM gets from guest-physical 0, multiple of 2 MiB, at least load + image + bss */
	uint64_t entry;        /* guest-physical; entered in 32-bit protected mode, flat segments, paging off, interrupts off */
};

/* Where a service VM finds what it is given; EBX holds the vCPU's index at entry. */
#define HILUM_SERVICE_SHARED_GPA    0x80000000ull /* struct hilum_shared_page */
#define HILUM_SERVICE_BOOT_INFO_GPA 0x80001000ull /* control VM: struct hilum_boot_info */

struct hilum_boot_module {
	hilum_handle_t memory;
	uint32_t reserved;
	uint64_t bytes; /* of content; the memory object is rounded up to pages, the rest reads zero */
	char name[48];  /* the beginning of its Multiboot2 string, NUL-terminated */
};

#define HILUM_BOOT_MODULES_MAX 48u

/* A table of the firmware's, checked by the kernel. It lies where no RAM of the machine's is used: HILUM_MEMORY_DEVICE reaches it. */
struct hilum_boot_table {
	uint64_t hpa; /* not aligned to pages; 0: there is none */
	uint64_t bytes;
};

struct hilum_boot_info {
	uint32_t abi_version;
	uint32_t module_count;
	uint32_t restarts; /* of the control VM, which keeps its handles and mappings; RAX holds it at entry */
	uint32_t crash;    /* enum hilum_crash: why it was restarted last */
	struct hilum_boot_table fadt, madt, mcfg;
	struct hilum_boot_module module[HILUM_BOOT_MODULES_MAX];
};

/* ---- The page that a VM shares with the kernel --------------------------------------------------------------------------- */
#define HILUM_EVENTS_PER_VCPU 128u

struct hilum_shared_page {
	uint64_t pending[HILUM_MAX_VCPUS][2]; /* the kernel sets bits (locked or); the VM takes them (locked exchange) */
	uint64_t tsc_hz;
	uint32_t vm_id;
	uint32_t vcpu_count;
	uint8_t reserved[4096 - 1024 - 16];
};

/* ---- Memory --------------------------------------------------------------------------------------------------------------- */
#define HILUM_MEMORY_LAZY     (1u << 0) /* populate on first access instead of now */
#define HILUM_MEMORY_4K_PAGES (1u << 1) /* never use larger pages */
#define HILUM_MEMORY_DEVICE   (1u << 2) /* device registers at a host-physical address; excludes the others */
#define HILUM_MEMORY_SHARE    (1u << 3) /* HC_MEMORY_SHARE may give its pages the frames of others; 4 KiB pages only */
#define HILUM_MEMORY_MOVES    (1u << 4) /* whoever makes it means to move it: HC_HOST_FRAMES counts it so */

/* HC_MEMORY_SHARE and HC_MEMORY_MOVE: no device is at these pages now, says the caller. */
#define HILUM_MEMORY_QUIET   (1u << 8)
#define HILUM_MOVE_GATHER    (1u << 0) /* 512 frames become one block of 2 MiB */
#define HILUM_MOVE_LEAVE     (1u << 1) /* what lies in that range of the machine's addresses goes elsewhere */
#define HILUM_MOVE_ORDER_MIN 9u        /* a range is its address | order: 4 KiB << order, a multiple of which the address is; 2 MiB */
#define HILUM_MOVE_ORDER_MAX 18u       /* 1 GiB */

#define HILUM_DIGEST_NONE 0ull /* the page has no frame, or one that is shared already */

#define HILUM_MAP_READ    (1u << 0)
#define HILUM_MAP_WRITE   (1u << 1)
#define HILUM_MAP_EXECUTE (1u << 2)

struct hilum_memory_status {
	uint64_t bytes;
	uint64_t resident_bytes; /* that have a frame */
	uint64_t limit_bytes;    /* HC_MEMORY_LIMIT; 0: none */
};

/* ---- VM -------------------------------------------------------------------------------------------------------------------- */
#define HILUM_VM_KVM_LEAVES  (1u << 0) /* answer KVM's MSRs and calls (the CPUID table must show the leaves) */
#define HILUM_VM_REALTIME    (1u << 1) /* its vCPUs run before those of other VMs (service VMs) */
#define HILUM_VM_X2APIC      (1u << 2) /* the local APICs offer x2APIC mode */
#define HILUM_VM_DEVICES     (1u << 3) /* devices may be assigned to it */
#define HILUM_VM_NO_FPU      (1u << 4) /* its vCPUs have no FPU, SSE or AVX registers: what these hold is undefined (service VMs) */
#define HILUM_VM_WAIT_MEMORY (1u << 5) /* a vCPU that needs a frame when there is none stops, until HC_VCPU_RUN: no HILUM_CRASH_NO_MEMORY */

struct hilum_vm_config {
	uint32_t flags; /* HILUM_VM_* */
	uint32_t reserved;
	hilum_handle_t status_event; /* signalled whenever the VM's status changes; may be zero */
	uint32_t reserved2;
	char name[32];          /* NUL-terminated, for the log */
	uint64_t wall_clock_ns; /* since 1970 at host TSC 0: what KVM's wall clock tells the VM */
	uint64_t clock[4];      /* what KVM's system time tells it: struct pvclock_vcpu_time_info, with an even version */
};

struct hilum_cpuid_entry {
	uint32_t leaf;
	uint32_t subleaf;
	uint32_t flags; /* HILUM_CPUID_SUBLEAF: match the subleaf too */
	uint32_t eax, ebx, ecx, edx;
	uint32_t reserved;
};
#define HILUM_CPUID_SUBLEAF (1u << 0)

enum hilum_vm_state {
	HILUM_VM_STOPPED = 0, /* no vCPU was started yet, or all are paused */
	HILUM_VM_RUNNING = 1,
	HILUM_VM_CRASHED = 2, /* a vCPU met a state that cannot go on; reason and vcpu say more */
};

enum hilum_crash {
	HILUM_CRASH_NONE = 0,
	HILUM_CRASH_TRIPLE_FAULT = 1,
	HILUM_CRASH_INVALID_STATE = 2, /* the CPU refused to enter it */
	HILUM_CRASH_NO_HANDLER = 3,    /* an access that needs a handler, and there is none */
	HILUM_CRASH_UNKNOWN_EXIT = 4,
	HILUM_CRASH_BAD_REPLY = 5,     /* the handler's answer was not valid */
	HILUM_CRASH_NO_MEMORY = 6,     /* lazy memory could not be populated */
	HILUM_CRASH_MACHINE_CHECK = 7, /* the machine lost some of its memory; detail: the address */
};

struct hilum_vm_status {
	uint32_t state; /* enum hilum_vm_state */
	uint32_t crash; /* enum hilum_crash */
	uint32_t vcpu;  /* index of the vCPU that crashed */
	uint32_t vcpu_count;
	uint64_t detail;       /* vendor's exit code of the crash */
	uint64_t memory_bytes; /* mapped */
	uint64_t kernel_bytes; /* the kernel's own pool memory spent on this VM without its nested page tables */
	uint64_t table_bytes;  /* nested page tables */
	uint64_t debug_stops;  /* a bit for each vCPU that has stopped for its debugger (HC_VCPU_DEBUG) */
	uint64_t memory_stops; /* a bit for each vCPU that has stopped for want of a frame (HILUM_VM_WAIT_MEMORY) */
	uint64_t memory_gpa;   /* where the last of them wanted it */
};

/* ---- What there is: for a control VM that is restarted ------------------------------------------------------------------- */
#define HILUM_OBJECT_DEAD   0u /* destroyed: the handle can only be closed */
#define HILUM_OBJECT_HOST   1u
#define HILUM_OBJECT_VM     2u
#define HILUM_OBJECT_VCPU   3u
#define HILUM_OBJECT_MEMORY 4u
#define HILUM_OBJECT_EVENT  5u
#define HILUM_OBJECT_DEVICE 6u

struct hilum_region {
	uint64_t gpa, bytes;
	uint64_t offset; /* in the memory object */
	uint64_t rights; /* HILUM_MAP_* */
};

/* ---- Synchronous traps -------------------------------------------------------------------------------------------------------
 * HC_WAIT(flags, deadline): with HILUM_WAIT_REPLY the caller first answers the trap it took last (its struct hilum_trap holds the
 * answer); then it waits. On return RAX = HILUM_WAIT_TRAP: RDX = badge, RSI = vCPU index, RDI = kind, R8 = port or gpa,
 * R9 = size in bytes | write << 8, R10 = value written; HILUM_WAIT_EVENT: bits are pending in the shared page;
 * HILUM_WAIT_TIMEOUT: the deadline has passed. Bits that are already pending return at once.
 */
#define HILUM_WAIT_REPLY (1u << 0)

#define HILUM_WAIT_TRAP    1
#define HILUM_WAIT_EVENT   2
#define HILUM_WAIT_TIMEOUT 3

#define HILUM_TRAP_PORT   1u /* IN or OUT without string or REP: the answer is `value` alone */
#define HILUM_TRAP_STRING 2u /* INS or OUTS: emulate from the state */
#define HILUM_TRAP_MMIO   3u /* emulate from the state */
#define HILUM_TRAP_EOI    4u /* `value` = vector of a level-triggered interrupt whose EOI was written */
#define HILUM_TRAP_INTACK 5u /* answer the 8259A's vector in `value`; HILUM_TRAP_NO_VECTOR if the request is gone */

#define HILUM_TRAP_NO_VECTOR 0x100u

#define HILUM_REPLY_STATE  (1u << 0) /* take gpr, rip and rflags back from the page */
#define HILUM_REPLY_INJECT (1u << 1) /* then raise exception `vector` (0..31) with `error_code` if it has one, and cr2 for #PF */

struct hilum_segment {
	uint64_t base;
	uint32_t limit; /* bytes, inclusive */
	uint16_t selector;
	uint16_t attributes; /* bits 55:52 and 47:40 of the descriptor joined, as in the VMCB (APM vol. 2, 15.5.1) */
};

/*
 * The page of a trapped vCPU. The question is there for STRING and MMIO only: of the other kinds HC_WAIT's registers say it all.
 * Order of gpr[]: RAX RCX RDX RBX RSP RBP RSI RDI R8 .. R15, the encoding order.
 */
struct hilum_trap {
	uint32_t kind;  /* HILUM_TRAP_* */
	uint32_t size;  /* bytes accessed; 0 if not known (MMIO) */
	uint32_t write; /* 1: the guest writes */
	uint32_t insn_bytes;
	uint64_t address; /* port or gpa */
	uint64_t value;   /* written by the guest, or the answer */
	uint8_t insn[16]; /* instruction bytes where the CPU delivered them (insn_bytes of them) */
	/* the answer */
	uint32_t reply; /* HILUM_REPLY_* */
	uint32_t vector;
	uint32_t error_code;
	uint32_t reserved;
	/* the state, valid for STRING and MMIO */
	uint64_t gpr[16];
	uint64_t rip, rflags;
	uint64_t cr0, cr2, cr3, cr4, efer;
	uint64_t next_rip; /* after the instruction, or 0 if not known */
	struct hilum_segment es, cs, ss, ds, fs, gs;
};

/* ---- vCPU state ---------------------------------------------------------------------------------------------------------------- */
#define HILUM_STATE_GPR      (1u << 0) /* gpr, rip, rflags */
#define HILUM_STATE_SEGMENTS (1u << 1) /* segments and descriptor tables */
#define HILUM_STATE_CR       (1u << 2) /* cr0, cr2, cr3, cr4, efer, xcr0 */
#define HILUM_STATE_DR       (1u << 3)
#define HILUM_STATE_MSR      (1u << 4) /* the rest of the MSRs */
#define HILUM_STATE_EVENTS   (1u << 5) /* pending event, shadows, activity */
#define HILUM_STATE_FPU      (1u << 6) /* XSAVE area, standard format */
#define HILUM_STATE_ALL      0x7Fu

#define HILUM_ACTIVITY_RUN       0u
#define HILUM_ACTIVITY_HALT      1u
#define HILUM_ACTIVITY_WAIT_SIPI 2u

struct hilum_vcpu_state {
	uint64_t gpr[16];
	uint64_t rip, rflags;
	struct hilum_segment es, cs, ss, ds, fs, gs, ldtr, tr;
	uint64_t gdtr_base, idtr_base;
	uint32_t gdtr_limit, idtr_limit;
	uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
	uint64_t dr[4], dr6, dr7;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, tsc_offset, tsc_aux;
	uint64_t spec_ctrl;
	uint64_t reserved_msr[2];
	uint64_t pending_event; /* VMCB EVENTINJ layout; 0 if none */
	uint32_t activity;      /* HILUM_ACTIVITY_* */
	uint32_t shadow;        /* bit 0: interrupt shadow, bit 1: NMI blocked */
	uint32_t xsave_bytes;
	uint32_t reserved;
	uint8_t xsave[2696] __attribute__((aligned(64)));
};

/*
 * What a vCPU stops for instead of going on with it, and its VM's status event fires. The exceptions are neither raised nor lost: whoever
 * debugs it lets the guest have one by `pending_event`.
 */
#define HILUM_DEBUG_TRAP   (1ull << 1)  /* #DB: RFLAGS.TF, DR0 to DR3; DR6 tells which, RIP is where the exception would find it */
#define HILUM_DEBUG_BREAK  (1ull << 3)  /* #BP: RIP is that of the INT3 */
#define HILUM_DEBUG_OPCODE (1ull << 6)  /* #UD */
#define HILUM_DEBUG_CR3    (1ull << 32) /* MOV to CR3: not executed yet */
#define HILUM_DEBUG_DR     (1ull << 33) /* MOV to or from a debug register: not executed yet */
#define HILUM_DEBUG_ALL    (HILUM_DEBUG_TRAP | HILUM_DEBUG_BREAK | HILUM_DEBUG_OPCODE | HILUM_DEBUG_CR3 | HILUM_DEBUG_DR)

/* ---- Statistics ----------------------------------------------------------------------------------------------------------------- */
enum hilum_exit {
	HILUM_EXIT_INTERRUPT, /* a host interrupt */
	HILUM_EXIT_NMI,
	HILUM_EXIT_WINDOW, /* the guest can take an interrupt now */
	HILUM_EXIT_CPUID,
	HILUM_EXIT_HYPERCALL,
	HILUM_EXIT_PORT,
	HILUM_EXIT_MMIO,
	HILUM_EXIT_PAGE_FAULT, /* nested: population */
	HILUM_EXIT_RDMSR,
	HILUM_EXIT_WRMSR,
	HILUM_EXIT_HALT,
	HILUM_EXIT_PAUSE,
	HILUM_EXIT_CR,
	HILUM_EXIT_DR,
	HILUM_EXIT_EXCEPTION,
	HILUM_EXIT_APIC,
	HILUM_EXIT_INVALID_OPCODE, /* an instruction that the VM does not have: SVM, VMX, MONITOR ... */
	HILUM_EXIT_XSETBV,
	HILUM_EXIT_CACHE, /* INVD, WBINVD */
	HILUM_EXIT_RDPMC,
	HILUM_EXIT_SHUTDOWN, /* a triple fault */
	HILUM_EXIT_OTHER,
	HILUM_EXIT_COUNT
};

struct hilum_vcpu_stats {
	uint64_t run_tsc;   /* TSC ticks in the guest and on its behalf */
	uint64_t ready_tsc; /* ticks it could have run but waited */
	uint64_t switches;  /* times it was switched to */
	uint64_t injected;  /* interrupts delivered */
	uint64_t exits[HILUM_EXIT_COUNT];
	uint64_t capped_tsc; /* ticks it could have run but its cap forbade */
	uint64_t migrations; /* times it went to another core */
	uint32_t core;       /* where it is now */
	uint32_t reserved;
};

/* ---- Scheduling ------------------------------------------------------------------------------------------------------------------ */
#define HILUM_SCHEDULE_DEDICATED (1u << 0)

#define HILUM_HOST_SCHEDULE_CORES (1u << 0) /* hyper-threads of one core run guests' vCPUs of one VM only, or none */

struct hilum_schedule {
	uint64_t cores;       /* bit n: core n is allowed, if it is there; 0: all of them */
	uint32_t weight;      /* 1 .. 65535; 256 is usual */
	uint32_t cap;         /* per mille of one core that it may use, over any second; 0 and 1000: no cap */
	uint32_t reservation; /* per mille of one core that it gets whenever it wants it, before others share by weight */
	uint32_t budget;      /* of a real-time VM: per mille of a core beyond which it shares by weight as others do; 0: none */
	uint32_t flags;       /* HILUM_SCHEDULE_DEDICATED: the one core in `cores` is its alone, without a tick */
	uint32_t reserved;
};

/* ---- Devices --------------------------------------------------------------------------------------------------------------------- */
#define HILUM_DEVICE_UNPROTECTED (1u << 0) /* do without an IOMMU, if there is none: the device can reach all memory */

#define HILUM_DEVICE_BLOCKED  0u
#define HILUM_DEVICE_ASSIGNED 1u
#define HILUM_DEVICE_CUT_OFF  2u /* blocked for too many faults, until it is assigned anew */

#define HILUM_FAULT_DMA       0u /* to memory that its VM does not have, or may not write */
#define HILUM_FAULT_INTERRUPT 1u
#define HILUM_FAULT_OTHER     2u

struct hilum_device_fault {
	uint32_t kind;   /* HILUM_FAULT_* */
	uint32_t reason; /* the IOMMU's own code */
	uint32_t write;  /* 1: the device wrote */
	uint32_t reserved;
	uint64_t address;
};

struct hilum_device_status {
	uint32_t state; /* HILUM_DEVICE_* */
	uint32_t reserved;
	uint64_t faults; /* accesses that the IOMMU stopped and recorded */
	struct hilum_device_fault last;
};

/* ---- Host ------------------------------------------------------------------------------------------------------------------------ */
struct hilum_host_info {
	uint32_t abi_version;
	uint32_t core_count;
	uint64_t tsc_hz;
	uint64_t memory_bytes; /* usable RAM found at boot */
	uint64_t free_bytes;
	uint64_t pool_bytes; /* taken by the kernel's pool */
	uint64_t pool_free_bytes;
	uint64_t kernel_bytes;  /* image, and frame table */
	uint64_t xcr0_mask;     /* XCR0 bits that guests may use */
	uint32_t serial_port;   /* the port that the early log used; 0 if none */
	uint32_t features;      /* HILUM_HOST_* */
	uint64_t fault_message; /* MSI address | data << 32, for IOMMUs that are told in their own configuration space */
};
/* Against what CPUs do ahead of time; docs/isolation.md. */
#define HILUM_DEFENCE_IBRS      (1u << 0) /* enhanced (Intel) or automatic (AMD) IBRS is on for good */
#define HILUM_DEFENCE_IBPB      (1u << 1) /* when a core goes from one guest to another */
#define HILUM_DEFENCE_L1D_FLUSH (1u << 2) /* before a core enters another VM than it ran last */
#define HILUM_DEFENCE_VERW      (1u << 3) /* likewise: buffers overwritten */
#define HILUM_DEFENCE_STIBP     (1u << 4) /* on for good */
#define HILUM_DEFENCE_RSB       (1u << 5) /* the return stack is filled after each exit */
#define HILUM_DEFENCE_SSBD      (1u << 6) /* guests can ask for it */

#define HILUM_CORES_MAX 64u

struct hilum_host_health {
	uint32_t defences; /* HILUM_DEFENCE_* in force */
	uint32_t threads;  /* of a core */
	/* What the CPU says of itself: CPUID (leaf 7, 80000008h, 80000021h), and IA32_ARCH_CAPABILITIES or 0. */
	uint32_t leaf7_edx, leaf8_ebx, leaf21_eax, reserved;
	uint64_t arch_capabilities;
	/* Counts since boot. */
	uint64_t nmis;                        /* that no exit of a guest's explains */
	uint64_t spurious;                    /* interrupts that nobody had routed, or that were gone again */
	uint64_t storms;                      /* devices cut off for interrupts that their driver could not follow */
	uint64_t checks_corrected;            /* machine checks: the hardware has mended it */
	uint64_t checks_contained;            /* and that cost one VM its life */
	uint64_t check_status, check_address; /* IA32_MCi_STATUS and _ADDR of the last one */
	uint64_t passed
		[HILUM_CORES_MAX]; /* of each core: points at which it was between guests' instructions. One that does not grow hangs */
};

/* How a run of the machine ended. */
enum hilum_end {
	HILUM_END_UNKNOWN = 0, /* memory was off */
	HILUM_END_NONE = 1,    /* nobody has said so: reset by its button, by a watchdog, or by a fault */
	HILUM_END_PANIC = 2,
	HILUM_END_RESET = 3, /* HC_HOST_RESET */
};

#define HILUM_LAST_RUN_BYTES 8168u

/* Lies at a fixed place in memory that a warm reset leaves alone. Byte n of the log is text[n % HILUM_LAST_RUN_BYTES]. */
struct hilum_last_run {
	uint64_t written; /* bytes of log */
	uint32_t end;     /* enum hilum_end */
	uint32_t sum;     /* of the bytes of text */
	uint64_t check;   /* made of the others; in the copy that HC_HOST_LAST_RUN makes it is good, or all is zero */
	char text[HILUM_LAST_RUN_BYTES];
};

#define HILUM_HOST_IOMMU         (1u << 2) /* devices reach only what they are given */
#define HILUM_HOST_IRQ_REMAPPING (1u << 3) /* and raise only interrupts that are theirs */

struct hilum_frames {
	uint32_t free[20];                             /* blocks of 4 KiB << n that are free in the machine; the last is reserved */
	uint64_t saved;                                /* pages that have a frame less frames, by HC_MEMORY_SHARE */
	uint64_t range_free, range_guest, range_other; /* frames of the range: free; that can move, of HILUM_MEMORY_MOVES; others */
};

_Static_assert(sizeof(struct hilum_call) == 64, "hilum_call");
_Static_assert(sizeof(struct hilum_shared_page) == 4096, "one page");
_Static_assert(sizeof(struct hilum_boot_info) <= 4096, "one page");
_Static_assert(sizeof(struct hilum_trap) <= 4096, "one page");
_Static_assert(sizeof(struct hilum_last_run) == 8192, "two pages");
_Static_assert(sizeof(struct hilum_segment) == 16, "as in the VMCB");
_Static_assert(sizeof(struct hilum_vcpu_state) <= 4096, "one page");

#endif /* __ASSEMBLER__ */
#endif
