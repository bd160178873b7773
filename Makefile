# Thin front of the Meson build. `make help` lists the targets.
build: build/build.ninja
	ninja -C build
build/build.ninja:
	meson setup build
.PHONY: build
