#include "tools/cli/sample.h"
#include "tools/cli/json.h"
#include "tools/cli/memory.h"
#include "tools/cli/text.h"

#include <stdlib.h>
#include <string.h>

static uint64_t sum_members(const json_t *array, const char *key)
{
	const json_t *element;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(array, i, element) sum += json_number(element, key);
	return sum;
}

static uint64_t sum_exits(const json_t *vcpus)
{
	const json_t *vcpu, *count;
	const char *reason;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(vcpus, i, vcpu)
	{
		json_object_foreach(json_object_get(vcpu, "exits"), reason, count)
			sum += json_is_integer(count) && json_integer_value(count) > 0 ? (uint64_t)json_integer_value(count) : 0;
	}
	return sum;
}

static char *copy_safe(const char *text)
{
	return text_safe(text == NULL ? "-" : text, text == NULL ? 1 : strlen(text), false);
}

void sample_add(struct sample_set *set, const json_t *vm, double seconds)
{
	const json_t *stats = json_object_get(vm, "stats"), *disks = json_object_get(stats, "disks"),
		     *nics = json_object_get(stats, "nics");

	set->samples = memory_resize(set->samples, (set->count + 1) * sizeof(*set->samples));
	set->samples[set->count++] = (struct sample){
		.name = copy_safe(json_text(vm, "name")),
		.state = copy_safe(json_state(vm)),
		.seconds = seconds,
		.memory_bytes = json_number(vm, "memory_bytes"),
		.cpu_ns = json_number(vm, "cpu_ns"),
		.ready_ns = sum_members(json_object_get(stats, "vcpus"), "ready_ns"),
		.exits = sum_exits(json_object_get(stats, "vcpus")),
		.read_bytes = sum_members(disks, "read_bytes"),
		.write_bytes = sum_members(disks, "write_bytes"),
		.rx_bytes = sum_members(nics, "rx_bytes"),
		.tx_bytes = sum_members(nics, "tx_bytes"),
	};
}

void sample_free(struct sample_set *set)
{
	for (unsigned i = 0; i < set->count; i++) {
		free(set->samples[i].name);
		free(set->samples[i].state);
	}
	free(set->samples);
	*set = (struct sample_set){ 0 };
}

static double rate(uint64_t before, uint64_t now, double seconds)
{
	return now > before && seconds > 0 ? (double)(now - before) / seconds : 0;
}

struct sample_rates sample_rate(const struct sample_set *before, const struct sample *now)
{
	for (unsigned i = 0; i < before->count; i++) {
		const struct sample *old = &before->samples[i];
		double seconds = now->seconds - old->seconds;

		if (strcmp(old->name, now->name) != 0)
			continue;
		return (struct sample_rates){
			.cpu_percent = rate(old->cpu_ns, now->cpu_ns, seconds) * 1e-7,
			.steal_percent = rate(old->ready_ns, now->ready_ns, seconds) * 1e-7,
			.exits = rate(old->exits, now->exits, seconds),
			.read_bytes = rate(old->read_bytes, now->read_bytes, seconds),
			.write_bytes = rate(old->write_bytes, now->write_bytes, seconds),
			.rx_bytes = rate(old->rx_bytes, now->rx_bytes, seconds),
			.tx_bytes = rate(old->tx_bytes, now->tx_bytes, seconds),
		};
	}
	return (struct sample_rates){ 0 };
}
