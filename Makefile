# make quickstart   builds everything and runs the first experiment on real anatomy
# make test         the whole test suite
# make peer-test    compares with ClinicaDL 1.6.1, which it installs
# make env          prints what a shell needs for cargo: eval "$(make -s env)"

SHELL := /bin/bash
PYTHON ?= python3
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/clinicadl

# An existing libtorch is respected: LIBTORCH=/path, or LIBTORCH_USE_PYTORCH=1 for that of the
# installed PyTorch (the way to CUDA).
ifeq ($(LIBTORCH)$(filter 1,$(LIBTORCH_USE_PYTORCH)),)
export LIBTORCH := $(CACHE)/libtorch-2.13.0-cpu
GET_LIBTORCH := env -u LIBTORCH $(PYTHON) tools/get-libtorch
else
GET_LIBTORCH := true
endif

.PHONY: quickstart build anatomy test lint unit docs tools-test peer-test env libtorch fetch

quickstart: build anatomy
	target/release/clinicadl run pipelines/quickstart.yaml

build: libtorch fetch
	cargo build --release --locked

anatomy:
	$(PYTHON) tools/get-anatomy data/icbm152

libtorch:
	@$(GET_LIBTORCH) >/dev/null

# cargo looks at the network only for what it has not got yet.
fetch:
	@cargo fetch --locked --quiet || cargo fetch --locked --quiet --offline

test: lint tools-test unit docs

lint: libtorch fetch
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

unit: libtorch fetch
	@if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --workspace --locked; \
	else cargo test --workspace --locked --lib --bins --tests; fi
	cargo test --workspace --locked --doc

docs: libtorch fetch
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --locked --no-deps --quiet

tools-test:
	$(PYTHON) -m unittest discover -s tools

peer-test: build
	$(PYTHON) tests/peer/run.py target/release/clinicadl

env:
	@echo "export LIBTORCH=$(LIBTORCH)"
