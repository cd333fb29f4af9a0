/* The real SVM backend under the fake kernel, for a test that has the CPU: what backend.c would give it, and its functions in `virt`. */
#ifndef FAKE_SVM_BACKEND_H
#define FAKE_SVM_BACKEND_H

#include "svm/svm.h"

static uint8_t ports[3 * PAGE_SIZE], msrs[2 * PAGE_SIZE];
uint8_t *backend_io_bitmap = ports, *backend_msr_bitmap = msrs;
static struct virt_ops *fake_ops, ops;

void backend_load_vcpu(struct vcpu *w)
{
	assert_ptr_equal(w->cpu, fake_self);
}

void backend_load_debug(const struct vcpu *w)
{
	(void)w;
}

void backend_unload_debug(struct vcpu *w)
{
	(void)w;
}

/* Until virt is fake_ops again. Before fake_boot. */
static void svm_backend_take(void)
{
	fake_ops = virt;
	ops = *virt;
	ops.create_vcpu = svm_create_vcpu;
	ops.destroy_vcpu = svm_destroy_vcpu;
	ops.load = svm_load;
	ops.unload = svm_unload;
	ops.run = svm_run;
	ops.fetch_paging = svm_fetch_paging;
	ops.get_state = svm_get_state;
	ops.set_state = svm_set_state;
	ops.write_offset_and_pat = svm_write_offset_and_pat;
	virt = &ops;
}

#endif
