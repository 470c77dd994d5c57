# The front door; the build itself is Meson's. `make` builds build/sluice and installs nothing on the
# machine; the other targets first install the Debian packages that they miss (tools/deps).
BUILD ?= build
LISTEN ?= :8080
SITE ?= examples/site
PYTHON ?= /usr/bin/python3
FUZZ_SECONDS ?= 60
MESON_FLAGS ?=

# One thing at a time: the work inside each of them is parallel already.
.NOTPARALLEL:
.PHONY: all run test unit e2e bench fuzz lint format install clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo "meson is missing: run tools/deps build"; exit 1; }
	meson setup $(BUILD) $(MESON_FLAGS)

run:
	@tools/deps build
	@$(MAKE) --no-print-directory all
	$(BUILD)/sluice files $(SITE) --listen $(LISTEN)

test: unit e2e
	@$(PYTHON) tools/tidy

# A tree that was configured before cmocka was there has no unit tests: look again.
unit:
	@tools/deps build test
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@grep -qs '"cmocka"' $(BUILD)/meson-info/intro-dependencies.json || \
		meson configure $(BUILD) -Dtests=enabled
	@ninja -C $(BUILD)
	meson test -C $(BUILD) --no-rebuild --print-errorlogs --suite unit

e2e: all
	@tools/deps test
	SLUICE_BIN=$(abspath $(BUILD)/sluice) $(PYTHON) -m pytest test/e2e test/tools -q \
		$$($(PYTHON) -c 'import xdist' 2>/dev/null && echo --numprocesses=2) \
		--junit-xml=$(BUILD)/pytest.xml -o junit_family=xunit2

bench:
	@tools/deps build bench
	@$(MAKE) --no-print-directory all
	bench/run

fuzz:
	@tools/deps build fuzz
	tools/fuzz $(FUZZ_SECONDS)

lint:
	@tools/deps build test lint
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	tools/lint $(BUILD)

format:
	@tools/deps lint
	find . -name '*.[ch]' -not -path './build*' -print0 | xargs -0 -r clang-format -i --style=file

install: all
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-asan build-tsan build-fuzz build-ci
