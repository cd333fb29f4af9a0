/*
 * Memory objects in nested tables: whole mappings, and the fault path that fills lazy ones.
 * Takes no lock; see mm/nested_pt.h for what the caller excludes.
 */
#include "mm/memory.h"

#define BLOCK_BYTES (PAGE_SIZE << FRAME_ORDER_2M)

struct map_job {
	struct nested_pt *npt;
	const struct memory *mem;
	gpa_t gpa;
	uint64_t offset, bytes;
	unsigned rights;
	struct nested_pt_plan plan;
};

/* Plans or maps every populated piece. What was planned cannot fail; what a lazy object got since may be left
 * out. */
static enum status map_pieces(struct map_job *job, bool commit)
{
	for (uint64_t at = 0; at < job->bytes;) {
		hpa_t hpa;
		uint64_t bytes = memory_extent(job->mem, (job->offset + at) / PAGE_SIZE, &hpa) * PAGE_SIZE;
		enum status status = STATUS_OK;

		if (bytes > job->bytes - at)
			bytes = job->bytes - at;
		if (hpa && !commit)
			status = nested_pt_plan_add(&job->plan, job->npt, job->gpa + at, hpa, bytes);
		else if (hpa &&
			 !nested_pt_plan_map(&job->plan, job->npt, job->gpa + at, hpa, bytes, job->rights))
			assert(memory_is_lazy(job->mem));
		if (status != STATUS_OK)
			return status;
		at += bytes;
	}
	return STATUS_OK;
}

enum status memory_map(struct nested_pt *npt, struct memory *mem, gpa_t gpa, uint64_t offset, uint64_t bytes,
		       unsigned rights)
{
	struct map_job job = {npt, mem, gpa, offset, bytes, rights, {0}};
	enum status status = nested_pt_check(gpa, bytes, rights);

	if (status != STATUS_OK || offset & PAGE_MASK || offset > memory_bytes(mem) ||
	    bytes > memory_bytes(mem) - offset)
		return STATUS_INVALID;
	if (rights & HILUM_MAP_WRITE && !memory_is_writable(mem))
		return STATUS_DENIED;
	status = map_pieces(&job, false);
	if (status == STATUS_OK)
		status = nested_pt_plan_fill(&job.plan);
	if (status != STATUS_OK)
		return status;
	status = map_pieces(&job, true);
	nested_pt_plan_end(&job.plan);
	return status;
}

enum status memory_populate_fault(struct nested_pt *npt, const struct memory_mapping *m, gpa_t fault)
{
	gpa_t page = fault & ~PAGE_MASK, block = ALIGN_DOWN(fault, BLOCK_BYTES);
	bool large = !((m->gpa ^ m->offset) & (BLOCK_BYTES - 1)) && block >= m->gpa &&
		     block + BLOCK_BYTES <= m->gpa + m->bytes;
	enum status status;
	unsigned order;
	hpa_t hpa;

	status = memory_populate(m->memory, (page - m->gpa + m->offset) / PAGE_SIZE, large, &hpa, &order);
	if (status != STATUS_OK)
		return status;
	if (large && order >= FRAME_ORDER_2M && !((hpa ^ page) & (BLOCK_BYTES - 1))) {
		status = nested_pt_install(npt, block, ALIGN_DOWN(hpa, BLOCK_BYTES), FRAME_ORDER_2M,
					   m->rights);
		if (status != STATUS_EXISTS)
			return status;
	}
	/* Also if a table of smaller pages stood in the way of a large one. */
	status = nested_pt_install(npt, page, hpa, FRAME_ORDER_4K, m->rights);
	return status == STATUS_EXISTS ? STATUS_OK : status;
}
