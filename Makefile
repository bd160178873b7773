# Thin front of the Meson build. `make help` lists the targets.
# A fresh Debian 12 with git and make is enough: every target installs what it misses first.

help:
	@echo 'make build   build/sallyport (installs missing packages first)'
	@echo 'make quick   incremental build, unit tests but the slow ones, lint; under a minute'
	@echo 'make check   everything: tests, sanitizers, fuzzing, static analysis; under 20 minutes'
	@echo 'make demo    a guided run of the whole system on this machine'
	@echo 'make fresh   the two commands of the README on a minimal Debian 12 made for it; needs root, takes half an hour'
	@echo 'make bench   measurements against peers'
	@echo 'make deps    install the packages for all of the above'
	@echo 'make fmt     let clang-format lay out the C files'
	@echo 'make clean   remove build directories'

deps:
	@tools/deps build check bench

build:
	@tools/deps build
	@test -f build/build.ninja || meson setup build $(MESON_FLAGS)
	ninja -C build

quick: build
	@tools/check quick

check:
	@tools/deps build check
	@tools/check

fresh:
	@tools/fresh --all

demo:
	@tools/deps build demo
	@$(MAKE) --no-print-directory build
	@tools/demo

bench: build
	@tools/deps bench
	@bench/run

fmt:
	@tools/deps check
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build build-asan build-tsan build-fuzz

.PHONY: help deps build quick check fresh demo bench fmt clean
