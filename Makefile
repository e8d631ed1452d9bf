# make quickstart   builds everything and runs the first experiment on real anatomy
# make test         the whole test suite
# make peer-test    compares with ClinicaDL 1.6.1, which it installs
# make provenance-test   has roc-validator and prov check the provenance; installs them
# make mlflow-test  tells an MLflow server, which it installs and starts, of trainings
# make bench        measures beside Snakemake, DVC, b3sum and ClinicaDL 1.6.1, which it installs; CASE=… RUNS=… choose
# make env          prints what a shell needs for cargo: eval "$(make -s env)"

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := quickstart
PYTHON ?= python3

# An existing libtorch is respected: LIBTORCH=/path, or LIBTORCH_USE_PYTORCH=1 for that of the
# installed PyTorch (the way to CUDA). Otherwise it is fetched once, for every checkout.
ifeq ($(LIBTORCH)$(filter 1,$(LIBTORCH_USE_PYTORCH)),)
export LIBTORCH := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/clinicadl/libtorch-2.13.0-cpu
GET_LIBTORCH := env -u LIBTORCH $(PYTHON) tools/get-libtorch
else
GET_LIBTORCH := true
endif

.PHONY: quickstart build anatomy libtorch fetch test lint tools-test docs unit peer-test provenance-test mlflow-test bench env

quickstart: build anatomy
	target/release/clinicadl run pipelines/quickstart.yaml

build: libtorch fetch
	cargo build --release --locked

anatomy:
	$(PYTHON) tools/get-anatomy data/icbm152

libtorch:
	@$(GET_LIBTORCH) >/dev/null

# Looks at the network only for what is not there yet.
fetch:
	@cargo fetch --locked --quiet

test: lint tools-test docs unit

lint: libtorch fetch
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

tools-test:
	$(PYTHON) -m unittest discover -s tools
	$(PYTHON) -m unittest discover -s bench

docs: libtorch fetch
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --locked --no-deps --quiet

unit: libtorch fetch
	cargo test --workspace --locked --doc --quiet
	if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --workspace --locked; \
	else cargo test --workspace --locked --lib --bins --tests; fi

peer-test: build
	$(PYTHON) tests/peer/run.py target/release/clinicadl

provenance-test: build
	$(PYTHON) tests/provenance/run.py target/release/clinicadl

mlflow-test: build
	$(PYTHON) tests/mlflow/run.py target/release/clinicadl

# Standard output is the table alone, for other programs: `build` would print its command there.
bench: libtorch fetch
	@cargo build --release --locked >&2
	@$(PYTHON) bench/run.py $(if $(RUNS),--runs $(RUNS)) target/release/clinicadl $(CASE)

env: libtorch
ifeq ($(filter 1,$(LIBTORCH_USE_PYTORCH)),)
	@echo "export LIBTORCH='$(LIBTORCH)'"
else
	@echo "export LIBTORCH_USE_PYTORCH=1"
endif
