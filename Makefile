# Two commands: `make run` shows EASRec on generated interactions, `make test` runs lint, types and tests.
# PIP_ARGS is passed on to pip, for example to choose an index that has the build of PyTorch you want.
# DATA is a file of interactions for `make bench`; random ones without. QUICK=1 takes less than ten minutes.
# BASE is the commit to compare with for `make bench-compare`; ONLY names one of its parts, such as streaming.
PYTHON ?= python3
PIP_ARGS ?=
DATA ?=
QUICK ?=
BASE ?=
ONLY ?=
BIN := .venv/bin
INSTALLED := .venv/.installed
PEERS := .venv-rectools/.installed
RECBOLE := .venv-recbole/.installed

.PHONY: run test lint types tests slow bench bench-compare gpu-kit peers rectools recbole supernet-peers whittle modelopt clean

run: $(INSTALLED)
	@rm -rf runs/demo
	@$(BIN)/elasticnas easrec run --preset demo --out runs/demo --threads 1

test: lint types tests

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e ".[dev]"
	touch $(INSTALLED)

lint: $(INSTALLED)
	$(BIN)/ruff check elasticnas recipes tests examples benchmarks
	$(BIN)/ruff format --check elasticnas recipes tests examples benchmarks

types: $(INSTALLED)
	$(BIN)/mypy elasticnas recipes/easrec recipes/elasticnas_recipes

tests: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist worksteal --durations 15

slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

bench: $(INSTALLED)
	$(BIN)/python benchmarks/bench.py $(if $(QUICK),runs/bench-quick --quick,docs/results) $(if $(DATA),--data $(DATA))

bench-compare: $(INSTALLED)
	@test -n "$(BASE)" || { echo "give a commit: make bench-compare BASE=HEAD~1"; exit 1; }
	$(BIN)/python benchmarks/bench_compare.py $(BASE) $(if $(ONLY),--only $(ONLY))

# What benchmarks/gpu.sh needs on a machine without network (Linux, Python 3.12, torch); DATA is ML-1M
gpu-kit: $(INSTALLED)
	test -f "$(DATA)" || { echo "give ML-1M: make gpu-kit DATA=ml-1m.tsv.gz"; exit 1; }
	rm -rf benchmarks/gpu-kit && mkdir benchmarks/gpu-kit
	$(BIN)/python -m pip download --quiet $(PIP_ARGS) --dest benchmarks/gpu-kit --only-binary=:all: --python-version 3.12 \
		--platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -r benchmarks/gpu-kit.txt
	rm -f benchmarks/gpu-kit/numpy-*  # the machine's fits its torch
	$(BIN)/python -m pip download --quiet $(PIP_ARGS) --dest benchmarks/gpu-kit --no-deps --only-binary=:all: liger-kernel==0.8.5  # its torch is the machine's
	$(BIN)/python -m pip wheel --quiet $(PIP_ARGS) --wheel-dir benchmarks/gpu-kit --no-deps .  # for the names of the plug-ins
	cp "$(DATA)" benchmarks/gpu-kit/ml-1m.tsv.gz
	du -sh benchmarks/gpu-kit

# RecTools, for benchmarks/peers/compare_rectools.py: an environment of its own
peers rectools: $(PEERS)

# RecBole, for benchmarks/peers/compare.py: another one, on Python 3.10 or 3.11
recbole: $(RECBOLE)

# whittle and ModelOpt, for benchmarks/peers/compare_supernet.py: an environment each, without torchvision, which must
# be of the same build as torch and is not used
supernet-peers: whittle modelopt
whittle: .venv-whittle/.installed
	.venv-whittle/bin/python -m pip uninstall --quiet --yes torchvision
modelopt: .venv-modelopt/.installed

.venv-%/.installed: benchmarks/peers/%.txt
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet $(PIP_ARGS) -r benchmarks/peers/$*.txt
	touch $@

clean:
	rm -rf .venv .venv-rectools .venv-recbole .venv-whittle .venv-modelopt build dist .mypy_cache .ruff_cache .pytest_cache
