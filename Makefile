# Everything runs in a private virtual environment, made on first use.
#   make demo    raw sample files -> shards -> a look at them -> a short training, in build/demo
#   make test    lint, type check, tests
#   make docs    the pages of docs/ as a site without a network, in build/site
#   make soak    builds and trainings killed at random for MINUTES=20, and a ledger in build/soak
#   make fuzz    damaged files for every reader for MINUTES=20, and a ledger in build/fuzz
PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
READY := $(VENV)/.ready
DEMO := build/demo
MINUTES ?= 20

.PHONY: demo test lint suite docs bench fuzz soak clean

demo: export PATH := $(BIN):$(PATH)
demo: $(READY)
	rm -rf $(DEMO) && mkdir -p $(DEMO)
	cd $(DEMO) && ctxtool synthesize ntu --gaps --phantoms
	cd $(DEMO) && ctxtool extract-ntu --split xsub
	cd $(DEMO) && ctxtool synthesize kinetics
	cd $(DEMO) && ctxtool build-kinetics-motion
	cd $(DEMO) && ctxtool inspect out/ntu60 --picture ntu60.png
	cd $(DEMO) && ctxtool inspect out/kinetics-motion --picture kinetics-motion.png
	cd $(DEMO) && ctxtool verify out/ntu60 --deep && ctxtool verify out/kinetics-motion --deep
	cd $(DEMO) && python -m train.run --shards out/kinetics-motion --recipe demo --set optim.epochs=4 --out runs/demo
	@echo "Look at $(DEMO)/ntu60.png, $(DEMO)/kinetics-motion.png and $(DEMO)/runs/demo/report.html."
	@echo "Four epochs on 48 recordings show that training runs; docs/training.md tells how to learn something."

# Side by side: one core would be idle while types are checked.
test: $(READY)
	@$(MAKE) --no-print-directory --jobs=2 lint suite

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

suite: $(READY)
	$(BIN)/pytest -n 2

# Strict: a broken link, a missing anchor or a page outside the navigation is an error.
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(READY)
	$(BIN)/python -c 'import mkdocs, material' 2>/dev/null || \
	    $(BIN)/pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(BIN)/mkdocs build --strict --quiet
	@echo "Open build/site/index.html."

bench: $(READY)
	$(BIN)/python tests/benchmarks/bench.py

soak: $(READY)
	$(BIN)/python tests/soak/soak.py --minutes $(MINUTES) --out build/soak

# Guided by coverage where atheris installs, else at random.
fuzz: export OMP_NUM_THREADS := 1
fuzz: $(READY)
	$(BIN)/python -c 'import atheris' 2>/dev/null || \
	    $(BIN)/pip install --quiet --disable-pip-version-check 'atheris>=2.3' || true
	$(BIN)/python tests/fuzz/fuzz_all.py --minutes $(MINUTES)

# OpenCV's usual build needs a desktop library; without it the headless build is the same module.
$(READY): setup.cfg pyproject.toml
	@echo "Setting up $(VENV): some minutes, about 6 GB, most of it PyTorch."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(BIN)/python -c 'import cv2' 2>/dev/null || { \
	    $(BIN)/pip uninstall --quiet --yes opencv-python && \
	    $(BIN)/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps opencv-python-headless && \
	    $(BIN)/python -c 'import cv2'; }
	touch $@

clean:
	rm -rf $(VENV) build
