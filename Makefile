# The two commands of the README: `make demo` and `make test`. Both install what is missing.

SHELL := /bin/bash
PREFIX ?= /usr/local
PROMPT ?= A red ball moves from left to right on a black background.
SEED ?= 42
OUTPUT ?= results/demo.mp4
SWIFT_FLAGS ?= -c release
PROGRAM = $$(swift build $(SWIFT_FLAGS) --show-bin-path)/hyvideo

.PHONY: demo test build install format lint check-imports packages goldens clean

demo: build
	@$(PROGRAM) generate --prompt "$(PROMPT)" --seed $(SEED) --output "$(OUTPUT)" > /dev/null
	@echo "The video is at $$(pwd)/$(OUTPUT)"

test: packages
	swift build $(SWIFT_FLAGS) --build-tests
	HYVIDEO_PROGRAM="$(PROGRAM)" swift test $(SWIFT_FLAGS) --skip-build

build: packages
	swift build $(SWIFT_FLAGS) --product hyvideo
	swift build $(SWIFT_FLAGS) --product AscendEmulator

# The program, the emulated devices that plans for NPUs are made on, and the demo checkpoint where it finds it without flags.
install: build
	install -D "$(PROGRAM)" "$(DESTDIR)$(PREFIX)/bin/hyvideo"
	install -D "$$(swift build $(SWIFT_FLAGS) --show-bin-path)/libAscendEmulator.so" \
	  "$(DESTDIR)$(PREFIX)/lib/hyvideo/libAscendEmulator.so"
	mkdir -p "$(DESTDIR)$(PREFIX)/share/hyvideo/Models"
	cp -R Models/demo "$(DESTDIR)$(PREFIX)/share/hyvideo/Models/"

# Reference outputs from PyTorch, in a virtual environment of their own.
goldens:
	python3 -m venv .build/goldens && .build/goldens/bin/pip install -q -r Tools/goldens/requirements.txt
	cd Tools/goldens && ../../.build/goldens/bin/python generate.py

# Debian packages that the build and the program need, and the Swift toolchain, which is not a package.
packages:
	@Tools/install-packages

format:
	swift format --in-place --recursive --parallel Package.swift Sources Tests

lint: check-imports
	swift format lint --strict --recursive --parallel Package.swift Sources Tests

check-imports:
	@Tools/check-imports

clean:
	rm -rf .build results
