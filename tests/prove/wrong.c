/*
 * Contracts that do not hold, in code that looks like the sources'. If the proof run proves one of the goals of tests/prove/wrong_goals, its
 * assumptions contradict each other, and it would prove anything.
 */
#include "arch/x86_64/insn_length.h"
#include "kernel/object.h"

unsigned wrong_read(const uint8_t *bytes, unsigned count);
struct object *wrong_entry(const struct handle_table *table, uint64_t handle);
int wrong_sum(int a, int b);

/* Reads one byte too far. */
/*@ requires \valid_read(bytes + (0 .. count - 1));
  @ assigns \nothing;
  @ ensures \result < 15;
  @*/
unsigned wrong_read(const uint8_t *bytes, unsigned count)
{
	return bytes[count];
}

/* Does not ask whether the handle's index is in the table. */
/*@ requires \valid_read(table) && handle_table_is_whole(table);
  @ assigns \nothing;
  @*/
struct object *wrong_entry(const struct handle_table *table, uint64_t handle)
{
	return table->entry != NULL ? __atomic_load_n(&table->entry[(uint16_t)handle].object, __ATOMIC_ACQUIRE) : NULL;
}

/*@ assigns \nothing; */
int wrong_sum(int a, int b)
{
	return a + b;
}
