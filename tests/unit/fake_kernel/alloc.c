/*
 * Wrappers that the linker puts around the allocators (ld's --wrap): they count what is in use, fail when a test wants it, and
 * poison what was freed.
 */
#include "tests/unit/fake_kernel/machine.h"

#include <sanitizer/asan_interface.h>

#include "mm/frame.h"

int failing_after = FAILING_NONE;
bool failing_on;
uint64_t fake_pages_used, fake_objects_used;

void *__real_pool_alloc(size_t bytes);
void *__real_pool_alloc_page(void);
void *__real_pool_alloc_pages(unsigned order);
void __real_pool_free(void *object);
void __real_pool_free_page(void *page);
void __real_pool_free_pages(void *pages, unsigned order);
enum status __real_frame_alloc(unsigned order, enum frame_type type, uint32_t owner, uint64_t range, hpa_t *out);
void __real_frame_free(hpa_t hpa, unsigned order, enum frame_type type, uint32_t owner);

static bool fails_now(void)
{
	if (failing_after < 0)
		return false;
	if (failing_after > 0) {
		failing_after--;
		return false;
	}
	if (!failing_on)
		failing_after = FAILING_DONE;
	return true;
}

void *__wrap_pool_alloc(size_t bytes)
{
	void *object = fails_now() ? NULL : __real_pool_alloc(bytes);

	fake_objects_used += object != NULL;
	return object;
}

void __wrap_pool_free(void *object)
{
	if (object != NULL) {
		fake_objects_used--;
		memset(object, 0xDB, POOL_OBJECT_BYTES); /* an object that is used again looks wrong */
	}
	__real_pool_free(object);
}

void *__wrap_pool_alloc_pages(unsigned order)
{
	void *pages = fails_now() ? NULL : __real_pool_alloc_pages(order);

	fake_pages_used += pages != NULL ? 1u << order : 0;
	return pages;
}

void *__wrap_pool_alloc_page(void)
{
	return __wrap_pool_alloc_pages(0);
}

void __wrap_pool_free_pages(void *pages, unsigned order)
{
	fake_pages_used -= pages != NULL ? 1u << order : 0;
	__real_pool_free_pages(pages, order);
}

void __wrap_pool_free_page(void *page)
{
	__wrap_pool_free_pages(page, 0);
}

/* The pool's own blocks never fail here: that is a failure of the pool. */
enum status __wrap_frame_alloc(unsigned order, enum frame_type type, uint32_t owner, uint64_t range, hpa_t *out)
{
	if (type == FRAME_GUEST && fails_now())
		return STATUS_NO_MEMORY;
	enum status status = __real_frame_alloc(order, type, owner, range, out);

	if (status == STATUS_OK)
		ASAN_UNPOISON_MEMORY_REGION(fake_ram + *out, PAGE_SIZE << order);
	return status;
}

void __wrap_frame_free(hpa_t hpa, unsigned order, enum frame_type type, uint32_t owner)
{
	__real_frame_free(hpa, order, type, owner);
	ASAN_POISON_MEMORY_REGION(fake_ram + hpa, PAGE_SIZE << order);
}
