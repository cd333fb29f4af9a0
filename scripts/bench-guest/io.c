/*
 * The guest's side of scripts/bench's I/O figures: asks for blocks of a disk, or sends packets to and fro, at a constant depth. What lies
 * between bench_io_begin and bench_io_end is measured from outside (scripts/lib/iotrace.py), so both are reached only if all went
 * well. Freestanding: the same file runs in every guest.
 *
 *   io read DEPTH COUNT      4 KiB reads of /dev/vda, at places all over it, past the page cache
 *   io net DEPTH COUNT SIZE  UDP datagrams of SIZE bytes to 10.9.0.2 and back; DEPTH are sent, then as many awaited
 *   io echo                  the other end of `net`
 */
#define BLOCK       4096u
#define DEPTH_MAX   64u
#define WARM_UP     128u
#define BLOCKS      16384u      /* of the disk that are read */
#define STRIDE      6007u       /* prime: no two reads of a round are neighbours */
#define PEER        0x0200090Au /* 10.9.0.2 in network order */
#define PORT        0x0700u
#define RETRY_MS    50u
#define O_DIRECT    040000
#define AF_INET     2
#define SOCK_DGRAM  2
#define SOL_SOCKET  1
#define SO_RCVTIMEO 20

enum {
	SYSCALL_WRITE = 1,
	SYSCALL_OPEN = 2,
	SYSCALL_SOCKET = 41,
	SYSCALL_SENDTO = 44,
	SYSCALL_RECVFROM = 45,
	SYSCALL_BIND = 49,
	SYSCALL_SETSOCKOPT = 54,
	SYSCALL_EXIT = 60,
	SYSCALL_IO_SETUP = 206,
	SYSCALL_IO_GETEVENTS = 208,
	SYSCALL_IO_SUBMIT = 209,
};

/* <linux/aio_abi.h> */
struct iocb {
	unsigned long data;
	unsigned int key, rw_flags;
	unsigned short opcode;
	short priority;
	unsigned int fd;
	unsigned long buffer, bytes;
	long offset;
	unsigned long reserved2;
	unsigned int flags, event_fd;
};
_Static_assert(sizeof(struct iocb) == 64, "struct iocb");

struct io_event {
	unsigned long data, object;
	long result, result2;
};

struct address {
	unsigned short family, port;
	unsigned int ip;
	unsigned char zero[8];
};

static unsigned char buffer[DEPTH_MAX][BLOCK] __attribute__((aligned(4096)));
static struct iocb control[DEPTH_MAX];

static long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return result;
}

static void print(const char *text)
{
	long n = 0;

	while (text[n])
		n++;
	syscall6(SYSCALL_WRITE, 1, (long)text, n, 0, 0, 0);
}

__attribute__((noreturn)) static void finish(const char *text, int status)
{
	print(text);
	for (;;)
		syscall6(SYSCALL_EXIT, status, 0, 0, 0, 0, 0);
}

static long check(long result, const char *what)
{
	if (result < 0)
		finish(what, 1);
	return result;
}

static unsigned long number(const char *text)
{
	unsigned long value = 0;

	while (*text >= '0' && *text <= '9')
		value = 10 * value + (unsigned long)(*text++ - '0');
	return value;
}

/* The debugger stops here. Not static, and not empty: each has an address of its own. */
__attribute__((noinline, used)) void bench_io_begin(void)
{
	__asm__ volatile("nop; nop");
}

__attribute__((noinline, used)) void bench_io_end(void)
{
	__asm__ volatile("nop; nop; nop");
}

/* ---- Disk ---- */

static void submit(long context, struct iocb **list, unsigned n)
{
	static unsigned long next;

	for (unsigned i = 0; i < n; i++) {
		list[i]->offset = (long)(next * STRIDE % BLOCKS) * BLOCK;
		next++;
	}
	for (unsigned done = 0; done < n;)
		done += (unsigned)check(syscall6(SYSCALL_IO_SUBMIT, context, n - done, (long)(list + done), 0, 0, 0), "io: io_submit\n");
}

/* `depth` reads are under way when it begins and when it ends. */
static void reads(long context, unsigned depth, unsigned long count)
{
	struct io_event event[DEPTH_MAX];
	struct iocb *list[DEPTH_MAX];

	for (unsigned long done = 0; done < count;) {
		unsigned long most = depth < count - done ? depth : count - done;
		unsigned n = (unsigned)check(syscall6(SYSCALL_IO_GETEVENTS, context, 1, (long)most, (long)event, 0, 0),
		                             "io: io_getevents\n");

		for (unsigned i = 0; i < n; i++) {
			if (event[i].result != BLOCK)
				finish("io: a read failed\n", 1);
			list[i] = (struct iocb *)event[i].object;
		}
		submit(context, list, n);
		done += n;
	}
}

static void read_disk(unsigned depth, unsigned long count)
{
	unsigned fd = (unsigned)check(syscall6(SYSCALL_OPEN, (long)"/dev/vda", O_DIRECT, 0, 0, 0, 0), "io: no /dev/vda\n");
	struct iocb *list[DEPTH_MAX];
	long context = 0;

	check(syscall6(SYSCALL_IO_SETUP, DEPTH_MAX, (long)&context, 0, 0, 0, 0), "io: io_setup\n");
	for (unsigned i = 0; i < depth; i++) {
		control[i] = (struct iocb){ .fd = fd, .buffer = (unsigned long)buffer[i], .bytes = BLOCK };
		list[i] = &control[i];
	}
	submit(context, list, depth);
	reads(context, depth, WARM_UP);
	bench_io_begin();
	reads(context, depth, count);
	bench_io_end();
}

/* ---- Network ---- */

static long udp(void)
{
	return check(syscall6(SYSCALL_SOCKET, AF_INET, SOCK_DGRAM, 0, 0, 0, 0), "io: no socket\n");
}

static void echo(void)
{
	struct address own = { .family = AF_INET, .port = PORT }, from;
	long fd = udp();

	check(syscall6(SYSCALL_BIND, fd, (long)&own, sizeof(own), 0, 0, 0), "io: bind\n");
	print("io: listening\n");
	for (;;) {
		int length = sizeof(from);
		long n = check(syscall6(SYSCALL_RECVFROM, fd, (long)buffer, BLOCK, 0, (long)&from, (long)&length), "io: recvfrom\n");

		check(syscall6(SYSCALL_SENDTO, fd, (long)buffer, n, 0, (long)&from, length), "io: sendto\n");
	}
}

static long send_to_peer(long fd, unsigned size)
{
	const struct address to = { .family = AF_INET, .port = PORT, .ip = PEER };

	return syscall6(SYSCALL_SENDTO, fd, (long)buffer[0], size, 0, (long)&to, sizeof(to));
}

static void packets(long fd, unsigned depth, unsigned long count, unsigned size)
{
	for (unsigned long done = 0; done < count; done += depth) {
		for (unsigned i = 0; i < depth; i++)
			check(send_to_peer(fd, size), "io: sendto\n");
		for (unsigned i = 0; i < depth; i++)
			if (syscall6(SYSCALL_RECVFROM, fd, (long)buffer[1], BLOCK, 0, 0, 0) != (long)size)
				finish("io: a packet is lost\n", 1);
	}
}

/* Sends until the peer is there; then nothing is under way but late answers, which are dropped. */
static void find_peer(long fd, unsigned size)
{
	const long retry[2] = { 0, RETRY_MS * 1000 };

	check(syscall6(SYSCALL_SETSOCKOPT, fd, SOL_SOCKET, SO_RCVTIMEO, (long)retry, sizeof(retry), 0), "io: setsockopt\n");
	do
		send_to_peer(fd, size);
	while (syscall6(SYSCALL_RECVFROM, fd, (long)buffer[1], BLOCK, 0, 0, 0) < 0);
	while (syscall6(SYSCALL_RECVFROM, fd, (long)buffer[1], BLOCK, 0, 0, 0) >= 0)
		;
}

static void exchange(unsigned depth, unsigned long count, unsigned size)
{
	const long patience[2] = { 20, 0 };
	long fd = udp();

	find_peer(fd, size);
	check(syscall6(SYSCALL_SETSOCKOPT, fd, SOL_SOCKET, SO_RCVTIMEO, (long)patience, sizeof(patience), 0), "io: setsockopt\n");
	packets(fd, depth, WARM_UP, size);
	bench_io_begin();
	packets(fd, depth, count, size);
	bench_io_end();
}

__attribute__((noreturn, used)) static void run(long argc, const char *const *argv)
{
	unsigned long depth = argc > 2 ? number(argv[2]) : 0, count = argc > 3 ? number(argv[3]) : 0, size = argc > 4 ? number(argv[4]) : 1;

	if (argc == 2 && argv[1][0] == 'e')
		echo();
	if (argc < 4 || depth == 0 || depth > DEPTH_MAX || size > BLOCK)
		finish("io: read DEPTH COUNT, net DEPTH COUNT SIZE, or echo\n", 2);
	if (argv[1][0] == 'r')
		read_disk((unsigned)depth, count);
	else
		exchange((unsigned)depth, count, (unsigned)size);
	finish("io: done\n", 0);
}

__asm__(".globl _start\n_start: mov (%rsp), %rdi\n\tlea 8(%rsp), %rsi\n\tand $-16, %rsp\n\tcall run\n");
