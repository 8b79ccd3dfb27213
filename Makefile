# make demo: the study on synthetic data.  make test: the tests.  Both set up .venv on their own.
PYTHON ?= python3
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake

.PHONY: demo picture show compare multiverse verify check-model test test-slow lint setup lock

demo: setup
	$(SNAKEMAKE) --workflow-profile profiles/cpu --configfile studies/demo.yaml --quiet rules host
	@echo "report: $(CURDIR)/results/demo/report.html"

# The README's picture, the first screen of the demo's report, after make demo; takes a Chromium.
CHROMIUM ?= chromium
picture: setup
	$(CHROMIUM) --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1440,1000 \
	  --screenshot=$(CURDIR)/docs/demo.png file://$(CURDIR)/results/demo/report.html
	$(BIN)/python -c 'from PIL import Image; p = "docs/demo.png"; Image.open(p).convert("RGB").quantize(64).save(p, optimize=True)'

# The verdicts in the terminal: make show STUDY=demo, in full with OPTIONS=--long. A table for a paper: TABLE=headline
# FORMAT=latex (or markdown); all tables in one workbook: FORMAT=xlsx; the verdicts on one page: FORMAT=pdf
STUDY ?= demo
show: setup
	@$(BIN)/python workflow_scripts/show_claims.py results/$(STUDY) $(TABLE:%=--table %) $(FORMAT:%=--format %) $(OPTIONS)

# Finished studies side by side, as results/comparison.html and .csv: make compare STUDIES="paper isolated"
compare: setup
	@$(BIN)/python workflow_scripts/compare_studies.py $(STUDIES:%=results/%) --output results/comparison.html

# A study for every reading of its open points, then in how many of them each claim holds: make multiverse OPTIONS=--plan
# says what that runs and costs; other options go to Snakemake.
MULTIVERSE ?= studies/multiverse.yaml
multiverse: setup
	@$(BIN)/python workflow_scripts/run_multiverse.py $(MULTIVERSE) $(OPTIONS)

# Compare a finished study with the record of what it was made from: make verify STUDY=paper
verify: setup
	@$(BIN)/python workflow_scripts/verify_study.py results/$(STUDY)

# Check that a model family of your own does what the workflow asks of it: make check-model MODEL=path/to/file.py:Class
check-model: setup
	@$(BIN)/python workflow_scripts/check_model.py $(MODEL) $(OPTIONS)

# Each file of tests goes to one of as many processes as there are cores, and each of these computes with one thread.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile
test: setup
	$(TESTS)

# What takes minutes: with the workflow on a Slurm of its own (tests/slurm/cluster says what that needs) and the report in
# Chromium. What is thrown at the study on purpose counts its cases and runs two at a time by itself.
test-slow: setup
	$(TESTS) -m "slow or slurm or browser"
	$(BIN)/python -m pytest -m faults

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/python envs/check_vulnerabilities.py

setup: .venv/installed

.venv/installed: envs/requirements.lock envs/torch.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement envs/requirements.lock
	$(BIN)/python -m pip install --quiet --requirement envs/torch.lock
	touch $@

# After a change of envs/requirements.in: resolve it anew and pin what came out.
lock:
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	(sed -n '/^#/p;/^[^#]/q' envs/requirements.lock; $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header envs/requirements.in \
	  | awk '/^[a-zA-Z]/ {skip = /^(torch|torchvision|triton|nvidia|cuda)[-=]/} !skip') > envs/new.lock
	mv envs/new.lock envs/requirements.lock
	(sed -n '/^#/p' envs/torch.lock; grep -E '^torch(vision)?==' envs/requirements.in) > envs/new.lock
	mv envs/new.lock envs/torch.lock
