/*
 * The software walk for instruction fetch, in every paging mode, over tables right, wrong and random.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#include "arch/x86_64/features.h"
#include "kernel/fetch.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define RAM_BYTES (4 * MIB)
#define P         1ull
#define PS        0x80ull
#define LONG_CS   (1u << 9)
#define BIG_CS    (1u << 10)

/* Guest-physical places of the tables, and of two pages of code. */
#define TABLE(level) (0x10000ull * (level))
#define CODE         0x80000ull
#define CODE_2       0x90000ull

static hilum_handle_t vm, memory;
static struct vcpu *v;

static uint8_t *guest(gpa_t gpa)
{
	hpa_t hpa;
	uint64_t bytes;

	assert_true(nested_pt_lookup(&v->vm->npt, gpa, HILUM_MAP_READ, &hpa, &bytes));
	return fake_ram + hpa;
}

static void put64(gpa_t gpa, uint64_t value)
{
	memcpy(guest(gpa), &value, sizeof(value));
}

static void put32(gpa_t gpa, uint32_t value)
{
	memcpy(guest(gpa), &value, sizeof(value));
}

static int set_up(void **state)
{
	(void)state;
	fake_boot(1);
	vm = make_vm(0);
	v = make_vcpu(vm, 0, 0, NULL);
	memory = make_memory(RAM_BYTES);
	CALL_OK(HC_MEMORY_MAP, vm, memory, 0, 0, RAM_BYTES, HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE);
	for (unsigned i = 0; i < PAGE_SIZE; i++) {
		guest(CODE)[i] = (uint8_t)(i * 7 + 1);
		guest(CODE_2)[i] = (uint8_t)(i * 5 + 3);
	}
	fetch_forget(v);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_check_clean();
	return 0;
}

static void set_mode(uint64_t cr0, uint64_t cr4, uint64_t efer, uint16_t cs, uint64_t cr3)
{
	backend_of(v)->paging = (struct vcpu_paging){ .cr0 = cr0, .cr3 = cr3, .cr4 = cr4, .efer = efer, .cs_attributes = cs };
	v->paging_valid = false;
}

static void set_long_mode(bool five_levels)
{
	set_mode(CR0_PE | CR0_PG, CR4_PAE | (five_levels ? CR4_LA57 : 0), EFER_LMA | EFER_LME, LONG_CS, TABLE(five_levels ? 5 : 4));
}

/* Tables that map `va` to CODE by pages of the level `leaf` (1: 4 KiB, 2: 2 MiB, 3: 1 GiB). */
static void map_64(unsigned top, unsigned leaf, gva_t va, gpa_t to)
{
	for (unsigned level = top; level >= leaf; level--) {
		uint64_t entry = level == leaf ? to | P | (leaf > 1 ? PS : 0) : TABLE(level - 1) | P;
		put64(TABLE(level) + (va >> (12 + 9 * (level - 1)) & 511) * 8, entry | 1ull << 63 | 0x60);
	}
}

static void assert_fetches(gva_t rip, gpa_t gpa)
{
	uint8_t bytes[INSN_MAX_BYTES];

	v->rip = rip;
	assert_int_equal(fetch_instruction(v, bytes), INSN_MAX_BYTES);
	assert_memory_equal(bytes, guest(gpa), INSN_MAX_BYTES);
}

static void assert_fetches_nothing(gva_t rip)
{
	uint8_t bytes[INSN_MAX_BYTES];

	v->rip = rip;
	assert_int_equal(fetch_instruction(v, bytes), 0);
	assert_int_equal(fetch_insn_length(v), 0);
}

/* ---- Modes ---- */

static void mode__each__by_lma_and_cs(void **state)
{
	struct vcpu_paging p = { .cs_attributes = LONG_CS };

	(void)state;
	assert_int_equal(fetch_mode(&p), INSN_MODE_16);
	p.efer = EFER_LMA;
	assert_int_equal(fetch_mode(&p), INSN_MODE_64);
	p.cs_attributes = BIG_CS;
	assert_int_equal(fetch_mode(&p), INSN_MODE_32);
	p.cs_attributes = 0;
	assert_int_equal(fetch_mode(&p), INSN_MODE_16);
}

static void no_paging__segment_base__added_in_32_bits(void **state)
{
	(void)state;
	set_mode(0, 0, 0, 0, 0);
	backend_of(v)->paging.cs_base = CODE;
	assert_fetches(0x123, CODE + 0x123);
	backend_of(v)->paging.cs_base = 0xFFFF0000;
	v->paging_valid = false;
	assert_fetches(CODE + 0x10000, CODE);
	assert_fetches((7ull << 32) + CODE + 0x10000, CODE);
}

static void two_level__4k_and_4m__found(void **state)
{
	(void)state;
	set_mode(CR0_PE | CR0_PG, CR4_PSE, 0, BIG_CS, TABLE(2));
	put32(TABLE(2) + 3 * 4, (uint32_t)(TABLE(1) | P));
	put32(TABLE(1) + 5 * 4, (uint32_t)(CODE | P));
	assert_fetches(3 << 22 | 5 << 12 | 0x34, CODE + 0x34);
	put32(TABLE(2) + 1023 * 4, P | PS);
	assert_fetches(1023u << 22 | CODE | 0x34, CODE + 0x34);
	put32(TABLE(2) + 9 * 4, P | PS | 1 << 13); /* address bit 32: no memory there */
	assert_fetches_nothing(9u << 22 | CODE);
}

static void two_level__without_pse__bit_7_is_no_large_page(void **state)
{
	(void)state;
	set_mode(CR0_PE | CR0_PG, 0, 0, BIG_CS, TABLE(2));
	put32(TABLE(2), (uint32_t)(TABLE(1) | P | PS));
	put32(TABLE(1) + 5 * 4, (uint32_t)(CODE | P));
	assert_fetches(5 << 12, CODE);
}

static void pae__4k_and_2m__found(void **state)
{
	(void)state;
	set_mode(CR0_PE | CR0_PG, CR4_PAE, 0, BIG_CS, TABLE(3) + 0x20);
	put64(TABLE(3) + 0x20 + 8 * 2, TABLE(2) | P);
	put64(TABLE(2) + 8 * 7, TABLE(1) | P);
	put64(TABLE(1) + 8 * 9, CODE | P);
	assert_fetches(2ull << 30 | 7 << 21 | 9 << 12, CODE);
	put64(TABLE(2) + 8 * 8, P | PS);
	assert_fetches(2ull << 30 | 8 << 21 | CODE, CODE);
}

static void long_mode__each_page_size_and_depth__found(void **state)
{
	(void)state;
	for (unsigned top = 4; top <= 5; top++) {
		gva_t va = top == 5 ? 0xFF11912345678000ull : 0xFFFF912345678000ull;
		set_long_mode(top == 5);
		map_64(top, 1, va, CODE);
		assert_fetches(va | 0xABC, CODE + 0xABC);
		map_64(top, 2, va + (1ull << 21), 0x200000);
		memcpy(guest(0x200000 + ((va + (1ull << 21)) & 0x1FFFFF)), guest(CODE), 64);
		assert_fetches(va + (1ull << 21), 0x200000 + ((va + (1ull << 21)) & 0x1FFFFF));
		map_64(top, 3, 0x40000000ull + CODE, 0);
		assert_fetches(0x40000000ull + CODE, CODE);
	}
}

static void long_mode__compatibility_segment__32_bit_address(void **state)
{
	(void)state;
	set_long_mode(false);
	backend_of(v)->paging.cs_attributes = BIG_CS;
	backend_of(v)->paging.cs_base = 0x1000;
	map_64(4, 1, 0x5000, CODE);
	assert_fetches(0xFFFFFFFF00004000ull, CODE);
}

/* ---- Missing parts ---- */

static void long_mode__any_level_missing__nothing(void **state)
{
	(void)state;
	set_long_mode(false);
	for (unsigned level = 1; level <= 4; level++) {
		map_64(4, 1, 0x5000, CODE);
		assert_fetches(0x5000, CODE);
		uint64_t entry = TABLE(level) + (level == 1 ? 5 * 8 : 0);
		put64(entry, 0x12345678000 & ~P);
		assert_fetches_nothing(0x5000);
		put64(entry, 0x000F123456789000 | P); /* where there is no memory */
		assert_fetches_nothing(0x5000);
	}
	backend_of(v)->paging.cr3 = 0x000FFFFFFFFFF000;
	v->paging_valid = false;
	assert_fetches_nothing(0x5000);
}

static void page_end__next_page_elsewhere_or_missing__joined_or_cut(void **state)
{
	uint8_t bytes[INSN_MAX_BYTES];

	(void)state;
	set_long_mode(false);
	map_64(4, 1, 0x5000, CODE);
	v->rip = 0x5FFC;
	assert_int_equal(fetch_instruction(v, bytes), 4);
	assert_memory_equal(bytes, guest(CODE + 0xFFC), 4);
	map_64(4, 1, 0x6000, CODE_2);
	assert_int_equal(fetch_instruction(v, bytes), INSN_MAX_BYTES);
	assert_memory_equal(bytes, guest(CODE + 0xFFC), 4);
	assert_memory_equal(bytes + 4, guest(CODE_2), INSN_MAX_BYTES - 4);
	assert_fetches(0x5100, CODE + 0x100); /* the first page again */
	memcpy(guest(CODE + 0xFFF), "\x0F", 1);
	memcpy(guest(CODE_2), "\xA2", 1); /* CPUID across the boundary */
	v->rip = 0x5FFF;
	assert_int_equal(fetch_insn_length(v), 2);
	put64(TABLE(1) + 6 * 8, 0);
	assert_int_equal(fetch_insn_length(v), 0);
}

/* ---- What is remembered between fetches ---- */

static void tables_change__without_a_flush__next_fetch_sees_it(void **state)
{
	(void)state;
	set_long_mode(false);
	map_64(4, 1, 0x5000, CODE);
	assert_fetches(0x5000, CODE);
	map_64(4, 1, 0x5000, CODE_2);
	assert_fetches(0x5000, CODE_2);
	put64(0x70000 + 8 * 5, CODE | P);
	put64(TABLE(2), 0x70000 | P);
	assert_fetches(0x5000, CODE);
	put64(TABLE(2), 0);
	assert_fetches_nothing(0x5000);
}

static void cr3_changes__other_space__is_walked(void **state)
{
	(void)state;
	set_long_mode(false);
	map_64(4, 1, 0x5000, CODE);
	assert_fetches(0x5000, CODE);
	put64(0x70000, 0x71000 | P);
	put64(0x71000, 0x72000 | P);
	put64(0x72000, P | PS);
	backend_of(v)->paging.cr3 = 0x70000;
	v->paging_valid = false;
	assert_fetches(CODE_2, CODE_2);
	assert_fetches(0x5000, 0x5000);
}

static void paging_turned_off__same_address__is_physical(void **state)
{
	(void)state;
	set_mode(CR0_PE | CR0_PG, CR4_PAE, 0, BIG_CS, TABLE(3));
	put64(TABLE(3), TABLE(2) | P);
	put64(TABLE(2), TABLE(1) | P);
	put64(TABLE(1) + 8 * (CODE_2 >> 12), CODE | P);
	assert_fetches(CODE_2, CODE);
	backend_of(v)->paging.cr0 = CR0_PE;
	v->paging_valid = false;
	assert_fetches(CODE_2, CODE_2);
}

static void memory_unmapped__was_remembered__nothing(void **state)
{
	(void)state;
	set_mode(0, 0, 0, BIG_CS, 0);
	assert_fetches(CODE, CODE);
	CALL_OK(HC_MEMORY_UNMAP, vm, 0, RAM_BYTES);
	assert_fetches_nothing(CODE);
}

/* ---- Hostile ---- */

static uint64_t random_entry(void)
{
	uint64_t e = fake_random();

	if (fake_random() % 2)
		e &= (RAM_BYTES - 1) | 0xFFF;
	return fake_random() % 4 ? e | P : e;
}

static void random_tables_and_registers__many__stay_in_guest_memory(void **state)
{
	static const uint16_t segments[] = { 0, LONG_CS, BIG_CS, LONG_CS | BIG_CS };

	(void)state;
	for (gpa_t gpa = 0; gpa < RAM_BYTES; gpa += 8)
		put64(gpa, random_entry());
	for (unsigned n = 0; n < 100000; n++) {
		uint8_t bytes[INSN_MAX_BYTES];
		set_mode(fake_random() % 4 ? CR0_PG | CR0_PE : 0, fake_random(), fake_random() % 2 ? EFER_LMA : 0,
		         segments[fake_random() % 4], random_entry());
		v->rip = fake_random() >> fake_random() % 64;
		backend_of(v)->paging.cs_base = fake_random() % 2 ? fake_random() : 0;
		unsigned count = fetch_instruction(v, bytes);
		assert_true(count <= INSN_MAX_BYTES);
		assert_true(fetch_insn_length(v) <= count);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(mode__each__by_lma_and_cs),
		TEST(no_paging__segment_base__added_in_32_bits),
		TEST(two_level__4k_and_4m__found),
		TEST(two_level__without_pse__bit_7_is_no_large_page),
		TEST(pae__4k_and_2m__found),
		TEST(long_mode__each_page_size_and_depth__found),
		TEST(long_mode__compatibility_segment__32_bit_address),
		TEST(long_mode__any_level_missing__nothing),
		TEST(page_end__next_page_elsewhere_or_missing__joined_or_cut),
		TEST(tables_change__without_a_flush__next_fetch_sees_it),
		TEST(cr3_changes__other_space__is_walked),
		TEST(paging_turned_off__same_address__is_physical),
		TEST(memory_unmapped__was_remembered__nothing),
		TEST(random_tables_and_registers__many__stay_in_guest_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
