## make fuzz-virtio      fuzz the virtio devices, their transport and their queues (FUZZ_RUNS inputs)
FUZZ_RUNS ?= 1000000
FUZZ_VIRTIO_SOURCES := tests/fuzz/fuzz_virtio.c $(addprefix drivers-vm/driver/,pci_host.c pci_function.c pci_msix.c \
	virtio_pci.c virtio_device.c virtio_common.c virtio_adopt.c virtio_console.c virtqueue.c virtqueue_split.c virtqueue_packed.c io_segment.c \
	virtio_blk.c blk_device.c blk_ram.c token_bucket.c virtio_net.c net_switch.c net_filter.c net_offload.c virtio_rng.c \
	virtio_balloon.c)
.PHONY: fuzz-virtio
$(B)/fuzz/fuzz_virtio: $(FUZZ_VIRTIO_SOURCES)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)clang -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Iinclude -MMD -MP -MF $@.d \
		-o $@ $(FUZZ_VIRTIO_SOURCES)
fuzz-virtio: $(B)/fuzz/fuzz_virtio
	$< -runs=$(FUZZ_RUNS) -seed=1 -max_len=4096 -len_control=0 -verbosity=0

## make fuzz-gpt         fuzz the reading of partition tables (FUZZ_RUNS inputs)
FUZZ_GPT_SOURCES := tests/fuzz/fuzz_gpt.c $(addprefix drivers-vm/driver/,gpt.c blk_device.c blk_ram.c io_segment.c)
.PHONY: fuzz-gpt
$(B)/fuzz/fuzz_gpt: $(FUZZ_GPT_SOURCES)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)clang -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Iinclude -MMD -MP -MF $@.d \
		-o $@ $(FUZZ_GPT_SOURCES)
fuzz-gpt: $(B)/fuzz/fuzz_gpt
	$< -runs=$(FUZZ_RUNS) -seed=1 -max_len=4096 -len_control=0 -verbosity=0

## make fuzz-port        fuzz the control VM's card and disk, from both sides (FUZZ_RUNS inputs)
FUZZ_PORT_SOURCES := tests/fuzz/fuzz_port.c $(addprefix drivers-vm/control/net/,port.c port_queue.c port_disk.c) $(addprefix drivers-vm/driver/, \
	service_port.c virtqueue.c virtqueue_split.c virtqueue_packed.c io_segment.c blk_device.c blk_ram.c net_switch.c net_filter.c \
	net_offload.c)
.PHONY: fuzz-port
$(B)/fuzz/fuzz_port: $(FUZZ_PORT_SOURCES)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)clang -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Iinclude -MMD -MP -MF $@.d \
		-o $@ $(FUZZ_PORT_SOURCES)
fuzz-port: $(B)/fuzz/fuzz_port
	$< -runs=$(FUZZ_RUNS) -seed=1 -max_len=2049 -len_control=0 -verbosity=0
