## make sbom            build/hilum.spdx.json: SPDX 2.3 list of every source and tool that Hilum is made of and with
.PHONY: sbom
sbom: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
sbom:
	@mkdir -p $(B)
	@echo "  SPDX  $(B)/hilum.spdx.json"
	$(Q)python3 scripts/lib/sbom.py $(B)/hilum.spdx.json
