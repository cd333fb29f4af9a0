/* Wrappers that the linker puts around the allocators (ld's --wrap). */
#include "fail.h"

#include "mm/frame.h"
#include "mm/pool.h"

int failing_after = FAILING_NONE;
int failing_order_min = FAILING_NONE;

void *__real_pool_alloc(size_t bytes);
void *__real_pool_alloc_page(void);
void *__real_pool_alloc_pages(unsigned order);
enum status __real_frame_alloc(unsigned order, enum frame_type type, uint32_t owner, uint64_t range, hpa_t *out);

static bool fails_now(void)
{
	if (failing_after < 0)
		return false;
	return failing_after-- == 0 ? (failing_after = FAILING_DONE, true) : false;
}

void *__wrap_pool_alloc(size_t bytes)
{
	return fails_now() ? NULL : __real_pool_alloc(bytes);
}

void *__wrap_pool_alloc_page(void)
{
	return fails_now() ? NULL : __real_pool_alloc_page();
}

void *__wrap_pool_alloc_pages(unsigned order)
{
	return fails_now() ? NULL : __real_pool_alloc_pages(order);
}

enum status __wrap_frame_alloc(unsigned order, enum frame_type type, uint32_t owner, uint64_t range, hpa_t *out)
{
	if (fails_now() || (failing_order_min >= 0 && (int)order >= failing_order_min))
		return STATUS_NO_MEMORY;
	enum status status = __real_frame_alloc(order, type, owner, range, out);

	if (status == STATUS_OK)
		fake_frames_taken(*out, order);
	return status;
}
