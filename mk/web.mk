# The web console (tools/web): bundled by esbuild from packages of the npm registry, in cache/npm, which scripts/fetch-web fills once, then
# compressed, and made into a table of files for the control VM.
WEB_DIR     := tools/web
WEB_SOURCES := $(shell find $(WEB_DIR)/src $(WEB_DIR)/css -type f)
WEB_NPM     := cache/npm/node_modules
# Whose code is in the bundle: their licences go with it.
WEB_BUNDLED := @xterm/xterm @xterm/addon-fit htm preact uplot

.PHONY: web
## make web             build/web/, the web console's files
web: $(B)/web/index.html

# Hilum does without its console where the registry cannot be reached; the next make asks again.
cache/npm/VERSION: scripts/fetch-web $(WEB_DIR)/package-lock.json
	@if scripts/fetch-web; then touch $@; else rm -f $@; echo "make: warning: this build has no web console" >&2; fi

# The page is written last: it stands for all files of the folder.
$(B)/web/index.html: $(WEB_DIR)/index.html $(WEB_DIR)/missing.html $(WEB_DIR)/favicon.svg $(WEB_SOURCES) cache/npm/VERSION mk/web.mk
	@echo "  WEB   $(B)/web"
	@rm -rf $(B)/web && mkdir -p $(B)/web
	$(Q)cp $(WEB_DIR)/favicon.svg $(B)/web/
	$(Q)if [ ! -e cache/npm/VERSION ]; then cp $(WEB_DIR)/missing.html $@; exit 0; fi; set -e; \
	NODE_PATH=$(WEB_NPM) $(WEB_NPM)/.bin/esbuild $(WEB_DIR)/src/main.js $(WEB_DIR)/css/main.css --bundle --minify --splitting --format=esm \
		--target=es2022 --charset=utf8 --legal-comments=none --log-level=warning --preserve-symlinks --outdir=$(B)/web --entry-names=[name] --chunk-names=[name]-[hash]; \
	for package in $(WEB_BUNDLED); do echo "$$package"; echo; cat $(WEB_NPM)/$$package/LICENSE*; echo; done >$(B)/web/licenses.txt; \
	cp $(WEB_DIR)/index.html $@

$(B)/web_files.c: $(B)/web/index.html scripts/lib/web_files.py
	@echo "  PACK  $@"
	$(Q)python3 scripts/lib/web_files.py $(B)/web $@
