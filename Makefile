# For a machine that has only Python 3.11, git and make. Whoever has tox can run
# it directly: these are two of its environments and a sum.

PYTHON ?= python3.11
TOX = .venv/bin/tox
RESULTS = .tox/results

.PHONY: demo test clean

# Show the plugin at work, in a Nova of two cells inside one process.
demo: $(TOX)
	$(TOX) run -e demo

# All tests, on Nova 34 and on Nova 27.
test: $(TOX)
	@rm -f $(RESULTS)/nova34.json $(RESULTS)/nova27.json
	@status=0; \
	$(TOX) run -e nova34,nova27 || status=$$?; \
	$(PYTHON) -m tools.tally $(RESULTS)/nova34.json $(RESULTS)/nova27.json \
	    || status=1; \
	exit $$status

$(TOX):
	@echo "== a virtual environment with tox, in .venv"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet 'tox>=4.28,<5'

clean:
	rm -rf .venv .tox .stestr build dist *.egg-info
