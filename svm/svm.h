/* The SVM backend's own declarations; nothing outside svm/ includes this. */
#ifndef SVM_SVM_H
#define SVM_SVM_H

#include "kernel/backend.h"
#include "kernel/virt_ops.h"
#include "svm/access.h"
#include "svm/vmcb.h"

/* CPUID Fn8000_000A_EDX: each is used where offered and done without elsewhere. */
struct svm_features {
	uint32_t asids;
	bool nrip, clean, decode_assists, pause_filter, pause_threshold;
};
extern struct svm_features svm_features;

static inline struct vmcb *svm_vmcb(const struct vcpu *v)
{
	return v->backend;
}

void svm_enter(struct vcpu *v, hpa_t vmcb);

/* vcpu.c */
enum status svm_create_vcpu(struct vcpu *v);
void svm_destroy_vcpu(struct vcpu *v);
void svm_load(struct vcpu *v);
void svm_unload(struct vcpu *v);
void svm_write_offset_and_pat(struct vcpu *v);
void svm_dr_take(struct vcpu *v); /* loaded: DR0 to DR3 are its own until it is unloaded with no breakpoint enabled */

/* state.c */
void svm_fetch_paging(struct vcpu *v);
void svm_get_state(struct vcpu *v, struct hilum_vcpu_state *state, uint32_t mask);
void svm_set_state(struct vcpu *v, const struct hilum_vcpu_state *state, uint32_t mask);

/* run.c */
void svm_run(struct vcpu *v);
void svm_idle(struct cpu *cpu);

#endif
