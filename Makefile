# make run · make test · make lint · make format · make bench · make bench-export ·
# make bench-device · make bench-distil · make counts · make apps, or apps-swift, apps-kotlin, apps-web ·
# make apps-web-page · make web. Each sets up what it needs in .venv.
PYTHON ?= python3.11
TORCH := 2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
PYTEST_ARGS ?=
BENCH_ARGS ?=
ADB_BUNDLE ?= runs/tiny/tflite

.PHONY: run test lint format bench bench-export bench-device bench-distil counts \
	apps apps-swift apps-kotlin apps-web apps-web-page web clean
.DELETE_ON_ERROR:

run: $(VENV)/.coreml
	$(BIN)/python -m pipeline.run --target coreml

test: $(VENV)/.all
	$(BIN)/python -m device_bench setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows

format: $(VENV)/.all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.all
	$(BIN)/python -m pipeline.bench $(BENCH_ARGS)
	@if [ -d runs/pocket/coreml ]; then $(BIN)/python -m exporters.mil_speed runs/pocket/coreml; fi

bench-export: $(VENV)/.all
	$(BIN)/python -m pipeline.bench_export $(BENCH_ARGS)

bench-device: $(VENV)/.all
	@[ -d runs/pocket/tflite ] || $(BIN)/python -m pipeline.run --target tflite --recipe pocket --out runs/pocket
	$(BIN)/python -m device_bench repeat --bundle runs/pocket/tflite --device host --long $(BENCH_ARGS)

bench-distil: $(VENV)/.coreml
	$(BIN)/python -m pipeline.bench_distil $(BENCH_ARGS)

# Instructions of tiny and pocket on emulated cores, held against the committed ones. COUNTS_INTO=
# tests/device_bench/counts writes those anew.
COUNTS_INTO ?= runs/counts
counts: $(VENV)/.all
	$(BIN)/python -m device_bench setup
	set -e; for recipe in tiny pocket; do \
		$(BIN)/python -m pipeline.run --recipe $$recipe --target tflite,executorch; \
		for target in tflite executorch; do \
			$(BIN)/python -m device_bench run --bundle runs/$$recipe/$$target --baseline none \
				--device arm64-emulator --length 128 --out $(COUNTS_INTO)/$$recipe; \
		done; \
		$(BIN)/python -m device_bench compare tests/device_bench/counts/$$recipe $(COUNTS_INTO)/$$recipe \
			--max-regression 0.5% --exact same-tools; \
	done

# The whole way through the real adb, on an arm64 phone under QEMU: push, run, pull, measurement.json.
adb-loop: $(VENV)/.all
	$(BIN)/python -m device_bench setup
	$(BIN)/python -m device_bench.toolchain.phone -- \
		$(BIN)/python -m device_bench run --bundle $(ADB_BUNDLE) --baseline none --device adb

# The apps' own tests over apps/golden, and their formatters; no phone and no emulator of one.
apps: $(VENV)/.all
	$(BIN)/python -m device_bench.toolchain.suites

apps-swift apps-kotlin apps-web: apps-%: $(VENV)/.all
	$(BIN)/python -m device_bench.toolchain.suites $*

# The web app at an address that it prints; where it has no bundle yet, with pocket's.
web: $(VENV)/.all apps/web/node_modules/.package-lock.json
	@[ -f apps/web/public/model/manifest.json ] || $(BIN)/python -m pipeline.run --recipe pocket --target tflite --app web
	cd apps/web && npm run build && npm run preview

# Its page in a real browser: answers of pocket's golden cases, everything else with tiny.
apps-web-page: $(VENV)/.all
	@for recipe in pocket tiny; do [ -d runs/$$recipe/tflite ] || $(BIN)/python -m pipeline.run --recipe $$recipe --target tflite; done
	$(BIN)/python -m device_bench.toolchain.web_page runs/pocket/tflite runs/tiny/tflite

apps/web/node_modules/.package-lock.json: apps/web/package-lock.json
	cd apps/web && npm ci --ignore-scripts --no-audit --no-fund

clean:
	rm -rf $(VENV) runs
	rm -rf apps/ios/App/model apps/android/app/src/main/assets/model apps/web/public/model apps/*/.model.*

# torch comes first and alone, so that no other package can pull in another build of it. Without a GPU its
# CPU build is asked for; where the package registry has none, the usual build is taken.
$(VENV)/.torch: constraints.txt
	@echo "setting up $(VENV): a few minutes, once"
	$(PYTHON) -m venv $(VENV)
	@if nvidia-smi >/dev/null 2>&1 || [ "$$(uname)" = Darwin ]; then \
		$(PIP) install torch==$(TORCH); \
	else \
		$(PIP) install "torch==$(TORCH)+cpu" 2>/dev/null \
		|| { echo "no CPU build of torch in the registry; taking the usual one"; $(PIP) install torch==$(TORCH); }; \
	fi
	touch $@

$(VENV)/.coreml: $(VENV)/.torch pyproject.toml
	$(PIP) install -c constraints.txt -e '.[coreml]'
	touch $@

$(VENV)/.all: $(VENV)/.torch pyproject.toml
	$(PIP) install -c constraints.txt -e '.[all,coreai,test]'
	touch $@ $(VENV)/.coreml
