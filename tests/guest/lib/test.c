/*
 * Start-up and verdicts. The boot information is trusted: this is a test, and its loader is QEMU, GRUB or
 * Hilum's control VM.
 */
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"

#define MULTIBOOT_MAGIC   0x2BADB002u
#define MULTIBOOT_MEMORY  (1u << 0)
#define MULTIBOOT_CMDLINE (1u << 2)
#define DEBUG_EXIT_PORT   0xF4
#define BOCHS_EXIT_PORT   0x8900        /* for the bare Bochs, which has no isa-debug-exit */
#define GUEST_RAM_LIMIT   0xC0000000ull /* the identity map is uncached from here on */

/* Head of the Multiboot 1 information ("Multiboot Specification 0.6.96, Boot information format"). */
struct multiboot_info {
	uint32_t flags, mem_lower_kib, mem_upper_kib, boot_device, cmdline;
};

uint64_t guest_ram_end = 64ull << 20;
static char test_cmdline[512];
static char test_only[64];
static unsigned test_passed, test_failed, test_skipped;
static bool test_case_failed, test_case_skipped;
static char test_why[256];
static uint64_t guest_alloc_next;
extern uint8_t _end[];

static const char *test_find_option(const char *name)
{
	size_t n = strlen(name);
	const char *s = test_cmdline;

	while (*s) {
		while (*s == ' ')
			s++;
		if (!memcmp(s, name, n) && s[n] == '=')
			return s + n + 1;
		while (*s && *s != ' ')
			s++;
	}
	return NULL;
}

uint64_t test_option(const char *name, uint64_t otherwise)
{
	const char *s = test_find_option(name);
	uint64_t value = 0;
	unsigned base = 10;

	if (!s)
		return otherwise;
	if (s[0] == '0' && s[1] == 'x') {
		base = 16;
		s += 2;
	}
	for (; *s && *s != ' '; s++)
		value = value * base + (uint64_t)(*s <= '9' ? *s - '0' : (*s | 0x20) - 'a' + 10);
	return value;
}

bool test_option_is(const char *name, const char *value)
{
	const char *s = test_find_option(name);
	size_t n = strlen(value);

	return s && !memcmp(s, value, n) && (!s[n] || s[n] == ' ');
}

bool test_flaw_known(const char *name)
{
	size_t n = strlen(name);

	for (const char *s = test_find_option("flaws"); s && *s && *s != ' ';) {
		if (!memcmp(s, name, n) && (!s[n] || s[n] == ' ' || s[n] == ','))
			return true;
		while (*s && *s != ' ' && *s++ != ',')
			;
	}
	return false;
}

static bool guest_has_signature(uint32_t leaf, const char *signature)
{
	struct cpuid_regs r = cpuid(leaf, 0);
	char text[12];

	if (!(cpuid(1, 0).ecx >> 31))
		return false;
	memcpy(text, &r.ebx, 4);
	memcpy(text + 4, &r.ecx, 4);
	memcpy(text + 8, &r.edx, 4);
	return !memcmp(text, signature, strlen(signature));
}

bool guest_is_bare_tcg(void)
{
	return guest_has_signature(0x40000000, "TCGTCGTCGTCG");
}

static void guest_probe_stack(void *unused)
{
	(void)unused;
	__asm__ volatile("push %%rbp; movabs $0x8000000000000000, %%rbp; mov (%%rbp), %%eax; pop %%rbp" : : : "rax", "memory");
}

static void guest_probe_gate(void *unused)
{
	(void)unused;
	__asm__ volatile("int $0x70" : : : "memory");
}

/*
 * TCG raises #GP for a non-canonical stack address (#SS is right), and counts 16 bytes a vector in error
 * codes.
 */
bool guest_on_tcg(void)
{
	static bool known, result;
	struct trap_record r;

	if (known)
		return result;
	result = guest_is_bare_tcg() || (trap_catch(guest_probe_stack, NULL, &r) && r.vector == VEC_GP);
	trap_set_gate(0x70, 0, 0xE, 0, false);
	result |= trap_catch(guest_probe_gate, NULL, &r) && r.error == 0x70 * 16 + 2;
	trap_set_gate(0x70, 0, 0xE, 0, true);
	known = true;
	return result;
}

bool guest_is_hilum(void)
{
	return guest_has_signature(0x40000100, "Hilum");
}

bool guest_is_kvm(void)
{
	return guest_has_signature(0x40000000, "KVMKVMKVM");
}

bool guest_is_xen(void)
{
	return guest_has_signature(0x40000000, "XenVMMXenVMM");
}

void *guest_alloc_pages(unsigned count)
{
	uint64_t at;

	if (!guest_alloc_next)
		guest_alloc_next = ((uint64_t)_end + 0xFFF) & ~0xFFFull;
	at = guest_alloc_next;
	if (at + count * 4096ull > guest_ram_end) {
		text_print("FATAL: out of memory\n");
		test_exit(false);
	}
	guest_alloc_next += count * 4096ull;
	return memset((void *)at, 0, count * 4096ull);
}

void test_exit(bool good)
{
	outl(DEBUG_EXIT_PORT, good ? 0 : 1);
	for (const char *s = "Shutdown"; *s; s++)
		outb(BOCHS_EXIT_PORT, (uint8_t)*s);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void test_finish(void)
{
	text_print("guest: %u passed, %u failed\n", test_passed, test_failed);
	test_exit(!test_failed);
}

void test_skip(const char *format, ...)
{
	va_list args;

	test_case_skipped = true;
	va_start(args, format);
	text_format(test_why, sizeof(test_why), format, args);
	va_end(args);
}

void test_fail(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	text_format(text, sizeof(text), format, args);
	va_end(args);
	if (test_case_failed)
		text_print("  also: %s\n", text);
	else
		memcpy(test_why, text, sizeof(test_why));
	test_case_failed = true;
}

static void test_call(void *arg)
{
	((const struct test_case *)arg)->run();
}

void test_run_always(const struct test_case *c)
{
	struct trap_record r;

	test_case_failed = test_case_skipped = false;
	if (trap_catch(test_call, (void *)c, &r))
		test_fail("unexpected vector %lu error %lx at rip %lx, cr2 %lx", r.vector, r.error, r.rip, r.cr2);
	irq_disable();
	if (test_case_failed) {
		test_failed++;
		text_print("FAIL %s: %s\n", c->name, test_why);
	} else if (test_case_skipped) {
		test_skipped++;
		text_print("SKIP %s: %s\n", c->name, test_why);
	} else {
		test_passed++;
		text_print("PASS %s\n", c->name);
	}
}

bool test_wants(const char *name)
{
	return text_contains(name, test_only);
}

void test_run(const struct test_case *cases, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (test_wants(cases[i].name))
			test_run_always(&cases[i]);
}

static void guest_read_boot_info(const struct multiboot_info *info)
{
	const char *s;
	unsigned n = 0;

	if (info->flags & MULTIBOOT_MEMORY)
		guest_ram_end = (1ull << 20) + ((uint64_t)info->mem_upper_kib << 10);
	if (guest_ram_end > GUEST_RAM_LIMIT)
		guest_ram_end = GUEST_RAM_LIMIT;
	if (!(info->flags & MULTIBOOT_CMDLINE))
		return;
	for (s = (const char *)(uintptr_t)info->cmdline; *s && n + 1 < sizeof(test_cmdline); s++)
		test_cmdline[n++] = *s;
	s = test_find_option("only");
	for (n = 0; s && *s && *s != ' ' && n + 1 < sizeof(test_only); s++)
		test_only[n++] = *s;
}

void guest_start(uint32_t magic, const struct multiboot_info *info);
void guest_start(uint32_t magic, const struct multiboot_info *info)
{
	text_init();
	trap_init_cpu(0);
	if (magic == MULTIBOOT_MAGIC)
		guest_read_boot_info(info);
	lapic_init();
	clock_init();
	guest_main();
	test_finish();
}
