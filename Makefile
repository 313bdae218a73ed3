# SPDX-License-Identifier: Apache-2.0
# The front door: each target is a short recipe over CMake's presets. `make` alone prints this list.
CFINE := build/release/cli/cfine
SECONDS ?= 60
SOAK ?= 600
SIZES ?= tiny n s m l x
PREFIX ?= /usr/local
BENCH_PYTHON ?= python3
SCENES := models/tabletop/scenes
INSTALL := @bash scripts/install_packages.sh
.PHONY: help build demo test test-gpu check asan tsan fuzz soak lint format parity bench install clean packages

help:
	@echo "cfine: D-FINE object detection in C"
	@echo
	@echo "  make demo      install what is missing, build, find the objects in six bundled scenes"
	@echo "  make test      install what is missing, build, run every test"
	@echo
	@echo "  make build     build/release: the command, the library, the backend for Triton"
	@echo "  make check     without the slow tests (two minutes or so)"
	@echo "  make test-gpu  every GPU kernel and the bundled model on this machine's GPU"
	@echo "  make asan      every test under the address and undefined-behaviour sanitizers"
	@echo "  make tsan      every test under the thread sanitizer"
	@echo "  make fuzz      each fuzz target for SECONDS=$(SECONDS) under sanitizers"
	@echo "  make soak      the server under good and bad clients for SOAK=$(SOAK) seconds"
	@echo "  make lint      format, include order, static analysis;  make format  rewrites the format"
	@echo "  make parity    against the PyTorch reference, and exports through ONNX Runtime: SIZES=\"$(SIZES)\" (needs CFINE_SHARED)"
	@echo "  make bench     time and accuracy on this machine into README.md and docs/: BENCH_PYTHON=python with the peers,"
	@echo "                 BENCH=\"options of cfine bench\""
	@echo "  make install   into PREFIX=$(PREFIX);  make clean  removes build/ and out/"

packages:
	$(INSTALL) build

build: packages
	@cmake --preset release && cmake --build --preset release --target cfine_cli cfine triton_cfine

demo: build
	@[ -d $(SCENES) ] || { echo "make demo: the bundled model is not in this checkout ($(SCENES) is missing)" >&2; exit 1; }
	@mkdir -p out/demo
	$(CFINE) detect --out out/demo $(SCENES)
	@echo
	$(CFINE) bench --images $(SCENES) --runs 20
	@echo
	@echo "The pictures with their boxes are in out/demo."

test:
	$(INSTALL) build test 'lint?' 'page?'
	@cmake --preset release && cmake --build --preset release
	@python3 scripts/run_tests.py release

test-gpu:
	$(INSTALL) build test
	@cmake --preset release && cmake --build --preset release
	build/release/tests/test_cuda
	build/release/tests/checkops/checkops --device cuda

check:
	$(INSTALL) build test
	@cmake --preset release && cmake --build --preset release
	@python3 scripts/run_tests.py release -LE slow

asan tsan:
	$(INSTALL) build test
	@cmake --preset $@ && cmake --build --preset $@
	@python3 scripts/run_tests.py $@

fuzz:
	$(INSTALL) build test fuzz
	@cmake --preset fuzz && cmake --build --preset fuzz --target fuzzers
	@bash scripts/run_fuzzers.sh $(SECONDS)

soak: build
	@python3 tests/serve/soak.py $(CFINE) tests/data/tiny $(SOAK) --threads 1

lint:
	$(INSTALL) build test lint
	@cmake --preset release
	@python3 scripts/lint.py
	@python3 scripts/lint.py --format
	@python3 scripts/lint.py --analyse

format:
	$(INSTALL) lint
	@git ls-files '*.c' '*.h' '*.cu' '*.cuh' | xargs clang-format-14 -i

parity: build
	@python3 tests/parity/parity.py --cfine $(CFINE) $(SIZES) || [ $$? = 77 ]
	@python3 tests/export/onnx_against_runtime.py $(CFINE) --sizes $(SIZES) || [ $$? = 77 ]

bench: build
	@BENCH_PYTHON=$(BENCH_PYTHON) python3 scripts/bench_readme.py $(CFINE) $(BENCH)

install: packages
	@cmake --preset release -DCMAKE_INSTALL_PREFIX="$(PREFIX)" && cmake --build --preset release
	@cmake --install build/release
	@[ "$$(id -u)" != 0 ] || [ -n "$$DESTDIR" ] || ldconfig # or programs do not find the new library

clean:
	rm -rf build out
