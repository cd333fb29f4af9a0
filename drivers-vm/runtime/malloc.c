/* malloc and its family over the one global heap of a service VM; any vCPU. */
#include "drivers-vm/runtime/heap.h"
#include "drivers-vm/runtime/service.h"

#include <stdlib.h>
#include <string.h>

static struct heap global;
static struct service_lock lock;

static void *allocate(size_t bytes, size_t align)
{
	service_lock(&lock);
	void *block = heap_alloc(&global, bytes, align);
	service_unlock(&lock);
	return block;
}

void heap_init_global(void *base, size_t bytes)
{
	heap_init(&global, base, bytes);
}

size_t heap_global_free_bytes(void)
{
	return global.free_bytes;
}

void *malloc(size_t bytes)
{
	return allocate(bytes, 1);
}

void *aligned_alloc(size_t align, size_t bytes)
{
	return allocate(bytes, align);
}

void *calloc(size_t count, size_t bytes)
{
	size_t total;

	if (__builtin_mul_overflow(count, bytes, &total))
		return NULL;
	void *block = allocate(total, 1);

	if (block != NULL)
		memset(block, 0, total);
	return block;
}

void *realloc(void *old, size_t bytes)
{
	if (old == NULL)
		return malloc(bytes);
	size_t have = heap_block_bytes(&global, old);

	if (bytes <= have && bytes >= have / 2)
		return old;
	void *block = malloc(bytes);

	if (block == NULL)
		return bytes <= have ? old : NULL;
	memcpy(block, old, bytes < have ? bytes : have);
	free(old);
	return block;
}

void free(void *block)
{
	service_lock(&lock);
	heap_free(&global, block);
	service_unlock(&lock);
}
