## make iso             build/hilum.iso: CD and USB stick, BIOS and UEFI. CONFIG=FILE MODULES="NAME=FILE ..." add guests
##                      the same sources make the same ISO, with the time of the last commit in it, or that of SOURCE_DATE_EPOCH
##                      SIGNING_KEY=FILE: kernel and medium are for each other (docs/operating.md)
## make pxe             build/pxe/: the same for netboot, a tree to be served by TFTP
CONFIG  ?= scripts/iso/hilum.toml
MODULES ?=
IMAGE_ARGS = --kernel $(KERNEL_ELF) --config $(CONFIG) $(if $(SIGNING_KEY),--sign $(SIGNING_KEY)) $(addprefix --module ,$(MODULES))

.PHONY: iso pxe
iso: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
iso: kernel services
	@echo "  ISO   $(B)/hilum.iso"
	$(Q)scripts/make-image $(IMAGE_ARGS) $(B)/hilum.iso

pxe: kernel services
	@echo "  PXE   $(B)/pxe"
	$(Q)scripts/make-image --pxe $(IMAGE_ARGS) $(B)/pxe
