## make fuzz-virtio      fuzz the virtio console, its transport and its queues (FUZZ_RUNS inputs)
FUZZ_RUNS ?= 1000000
FUZZ_VIRTIO_SOURCES := tests/fuzz/fuzz_virtio.c $(addprefix drivers-vm/driver/,pci_host.c pci_function.c pci_msix.c \
	virtio_pci.c virtio_device.c virtio_common.c virtio_console.c virtqueue.c virtqueue_split.c virtqueue_packed.c io_segment.c)
.PHONY: fuzz-virtio
$(B)/fuzz/fuzz_virtio: $(FUZZ_VIRTIO_SOURCES)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)clang -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Iinclude -MMD -MP -MF $@.d \
		-o $@ $(FUZZ_VIRTIO_SOURCES)
fuzz-virtio: $(B)/fuzz/fuzz_virtio
	$< -runs=$(FUZZ_RUNS) -seed=1 -max_len=4096 -len_control=0 -verbosity=0
