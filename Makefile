# make sweep   sets up .venv from the lock and runs the default sweep
# make test    sets up .venv from the lock and runs the tests
PYTHON ?= python3
WORKDIR ?= runs/attention
ONSET := .venv/bin/onset

.PHONY: sweep test lint lock clean

sweep: .venv/installed
	$(ONSET) sweep --config=configs/attention.py --workdir=$(WORKDIR) $(ARGS)

test: .venv/installed
	.venv/bin/python -m pytest $(ARGS)

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# Exact versions for every platform; edit pyproject.toml, then run this.
lock: .venv/installed
	.venv/bin/pip install --quiet uv
	.venv/bin/uv pip compile --universal --python-version 3.11 --extra dev \
		--no-emit-index-url --quiet --upgrade -o requirements.lock pyproject.toml

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Onset needs Python 3.11 or newer; set PYTHON=…" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache
