/* Figures that move as those of a guest do which is idle most of the time, and the host's. */
#include "tools/sim/fake_manager.h"

#include "drivers-vm/control/events.h"

#include <stdio.h>
#include <string.h>

#define TSC_HZ     2400000000ull
#define SECOND_NS  1000000000ull
#define RESTART_NS (500 * 1000000ull)

static uint64_t driver_restarts, driver_back_ns;

/* Between 5 and 45 % of a core, a wave of a minute. */
static uint64_t busy_ns(uint64_t run_ns, unsigned vcpu)
{
	uint64_t whole = run_ns / (60 * SECOND_NS), part = run_ns % (60 * SECOND_NS);
	uint64_t rising = part < 30 * SECOND_NS ? part : 60 * SECOND_NS - part;

	(void)vcpu;
	return whole * 15 * SECOND_NS + part / 20 +
	       (part < 30 * SECOND_NS ? rising / 1000 * (rising / 1000) / 150000
	                              : 12 * SECOND_NS - rising / 1000 * (rising / 1000) / 150000);
}

bool manager_vcpu_stats(const char *name, unsigned vcpu, struct hilum_vcpu_stats *out)
{
	const struct fake_vm *vm = fake_vm_find(name);
	uint64_t busy, run;

	if (vm == NULL || !fake_vm_has_figures(vm) || vcpu >= vm->view.config->vcpus)
		return false;
	run = fake_vm_run_ns(vm);
	busy = busy_ns(run, vcpu);
	*out = (struct hilum_vcpu_stats){ .run_tsc = busy / 1000 * (TSC_HZ / 1000000),
		                          .ready_tsc = busy / 100000 * (TSC_HZ / 1000000),
		                          .switches = run / 4000000,
		                          .injected = run / 3000000 };
	out->core = vcpu % 4;
	out->migrations = run / 5000000000u;
	out->capped_tsc = vm->view.config->cap != 0 ? out->ready_tsc : 0;
	out->exits[HILUM_EXIT_CPUID] = 200 + vcpu;
	out->exits[HILUM_EXIT_HALT] = run / 4000000;
	out->exits[HILUM_EXIT_INTERRUPT] = run / 9000000;
	out->exits[HILUM_EXIT_PORT] = run / 20000000;
	out->exits[HILUM_EXIT_WRMSR] = run / 5000000;
	return true;
}

bool manager_status(const char *name, struct hilum_vm_status *out)
{
	const struct fake_vm *vm = fake_vm_find(name);

	if (vm == NULL || !fake_vm_has_figures(vm))
		return false;
	*out = (struct hilum_vm_status){ .vcpu_count = vm->view.config->vcpus,
		                         .memory_bytes = vm->view.config->memory_bytes,
		                         .kernel_bytes = 65536,
		                         .table_bytes = 28672 };
	return true;
}

bool manager_disk_counts(const char *name, unsigned disk, struct manager_disk_counts *out)
{
	const struct fake_vm *vm = fake_vm_find(name);
	uint64_t run;

	if (vm == NULL || !fake_vm_has_figures(vm) || disk >= vm->view.config->disk_count)
		return false;
	run = busy_ns(fake_vm_run_ns(vm), 0) / 1000000;
	*out = (struct manager_disk_counts){ run / 5, run * 4096, run / 9, run * 1024, run / 100, 0 };
	return true;
}

bool manager_nic_counts(const char *name, unsigned nic, struct manager_nic_counts *out)
{
	const struct fake_vm *vm = fake_vm_find(name);
	uint64_t run;

	if (vm == NULL || !fake_vm_has_figures(vm) || nic >= vm->view.config->nic_count)
		return false;
	run = busy_ns(fake_vm_run_ns(vm), 0) / 1000000;
	*out = (struct manager_nic_counts){ run / 2, run * 120, run, run * 1400, 0, run / 1000 };
	return true;
}

uint64_t manager_balloon_bytes(const char *name)
{
	const struct fake_vm *vm = fake_vm_find(name);

	if (vm == NULL || !fake_vm_has_figures(vm) || vm->view.config->balloon_bytes == CONFIG_NO_BALLOON)
		return 0;
	return vm->view.config->balloon_bytes;
}

bool manager_vm_memory(const char *name, struct manager_vm_memory *out)
{
	const struct fake_vm *vm = fake_vm_find(name);
	const struct config_vm *config;

	if (vm == NULL || !fake_vm_has_figures(vm))
		return false;
	config = vm->view.config;
	*out = (struct manager_vm_memory){ .resident = config->prefault ? config->memory_bytes : config->memory_bytes / 2,
		                           .most = vm->memory_max,
		                           .least = vm->memory_min,
		                           .balloon_target = manager_balloon_bytes(name) };
	return true;
}

enum manager_result manager_set_memory_limits(const char *name, uint64_t most, uint64_t least, struct manager_error *error)
{
	struct fake_vm *vm = fake_vm_find(name);

	if (vm == NULL || !fake_vm_has_figures(vm))
		return vm == NULL ? MANAGER_NOT_FOUND : MANAGER_CONFLICT;
	if (most > vm->view.config->memory_bytes || least > most) {
		snprintf(error->field, sizeof(error->field), most > vm->view.config->memory_bytes ? "max_bytes" : "min_bytes");
		snprintf(error->detail, sizeof(error->detail), "is too much");
		return MANAGER_INVALID;
	}
	vm->memory_max = most;
	vm->memory_min = least;
	return MANAGER_OK;
}

/* ---- The host ---------------------------------------------------------------------------------------------------------------------- */

void manager_host(struct manager_host *out)
{
	static uint64_t start_ns;
	const struct fake_vm *vm;
	uint64_t used = 128ull << 20;

	if (start_ns == 0)
		start_ns = sim_now_ns();
	for (unsigned i = 0; (vm = fake_vm_at(i)) != NULL; i++)
		used += fake_vm_has_figures(vm) ? vm->view.config->memory_bytes : 0;
	*out = (struct manager_host){ .uptime_ns = sim_now_ns() - start_ns,
		                      .wall_clock_ns = sim_wall_ns(),
		                      .driver_state = sim_now_ns() < driver_back_ns ? "restarting" : "running",
		                      .driver_restarts = driver_restarts,
		                      .control_heap_free = 12u << 20,
		                      .driver_heap_free = 6u << 20,
		                      .control_busy_ns = (sim_now_ns() - start_ns) / 64 };
	out->info = (struct hilum_host_info){ .core_count = 4,
		                              .tsc_hz = TSC_HZ,
		                              .memory_bytes = 64ull << 30,
		                              .pool_bytes = 64ull << 20,
		                              .pool_free_bytes = 48ull << 20,
		                              .kernel_bytes = 4ull << 20,
		                              .features = HILUM_HOST_IOMMU | HILUM_HOST_IRQ_REMAPPING };
	out->info.free_bytes = used < out->info.memory_bytes ? out->info.memory_bytes - used : 0;
	snprintf(out->cpu, sizeof(out->cpu), "Simulated CPU @ 2.40GHz");
}

static struct manager_compaction compaction = { .state = "idle" };
static uint64_t compacted_ns;

void manager_memory(struct manager_memory *out)
{
	if (sim_now_ns() >= compacted_ns)
		compaction.state = "idle";
	*out = (struct manager_memory){ .overcommit = 100, .spare = 32ull << 30, .largest_free = 1ull << 30, .compaction = compaction };
}

enum manager_result manager_compact(struct manager_error *error)
{
	if (sim_now_ns() < compacted_ns) {
		snprintf(error->detail, sizeof(error->detail), "it goes on already");
		return MANAGER_CONFLICT;
	}
	compacted_ns = sim_now_ns() + RESTART_NS;
	compaction = (struct manager_compaction){ .state = "running",
		                                  .runs = compaction.runs + 1,
		                                  .moved_bytes = compaction.moved_bytes + (2u << 20),
		                                  .before_bytes = 1u << 29,
		                                  .after_bytes = 1u << 30 };
	event_add("host.compaction", "", "begins: an operator asked for it");
	return MANAGER_OK;
}

void manager_restart_driver(void)
{
	driver_restarts++;
	driver_back_ns = sim_now_ns() + RESTART_NS;
	event_add("driver.restarted", "", "an operator asked for it");
}

/* This machine is back at once, with its VMs shut off. */
void manager_end_host(enum manager_host_end how, uint64_t timeout_ns)
{
	struct manager_error error;
	const struct fake_vm *vm;

	for (unsigned i = 0; (vm = fake_vm_at(i)) != NULL; i++)
		manager_act(vm->view.config->name, MANAGER_DESTROY, 0, &error);
	event_add("host.end", "", "%s, VMs had %u s", how == MANAGER_HOST_REBOOT ? "reboot" : "poweroff",
	          (unsigned)(timeout_ns / SECOND_NS));
}

/* ---- The log: one line a second, so that followers have something to follow ------------------------------------------------------- */

#define LINE_BYTES 34u

size_t manager_log_read(uint64_t *position, uint8_t *to, size_t size)
{
	static uint64_t start_ns;
	uint64_t end;
	size_t count = 0;

	if (start_ns == 0)
		start_ns = sim_now_ns();
	end = (10 + (sim_now_ns() - start_ns) / SECOND_NS) * LINE_BYTES;
	if (*position > end)
		*position = end;
	while (count < size && *position < end) {
		char line[LINE_BYTES + 1];

		snprintf(line, sizeof(line), "[%5u.000] simulated line of log\n", (unsigned)(*position / LINE_BYTES) % 100000);
		to[count++] = (uint8_t)line[*position % LINE_BYTES];
		(*position)++;
	}
	return count;
}
