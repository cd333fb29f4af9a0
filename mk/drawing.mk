.PHONY: drawing
## make drawing         docs/architecture.svg from docs/architecture.drawing
drawing:
	$(Q)python3 scripts/lib/drawing.py >docs/architecture.svg.new && mv docs/architecture.svg.new docs/architecture.svg
