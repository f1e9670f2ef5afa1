# SPDX-License-Identifier: Apache-2.0
# Every target is a thin door to a script in scripts/, so that people and .ci/run do the same thing.

.POSIX:
.PHONY: help serve test lint format bench crash cluster docs pins clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

serve: ## Start a registry on 127.0.0.1:5000 (CONFIG=file.yml for other settings)
	@scripts/serve $(CONFIG)

test: ## Build the wheel, install it and run the tests against it (ARGS="-k tags" for some)
	@scripts/test $(ARGS)

lint: ## Check style, types, import rules, shell scripts and documents
	@scripts/lint

format: ## Rewrite the code in the house style
	@scripts/format

bench: ## Measure against other registries (ARGS for its options)
	@scripts/bench $(ARGS)

crash: ## Kill the registry 200 times under load and compare with what it acknowledged
	@scripts/test tests/durability --kills 200 --timeout 0 -n 0 $(ARGS)

cluster: ## Break three replicas under load for ten minutes and judge what their clients saw
	@scripts/test tests/cluster --cluster-seconds 600 --timeout 0 -n 0 $(ARGS)

docs: ## Write the generated documents again and check every link
	@scripts/docs write

pins: ## Pin the requirements again (UPGRADE=--upgrade for the newest)
	@scripts/pins $(UPGRADE)

clean: ## Remove everything that make has made, but never the data of a registry (ARGS=tools)
	@scripts/clean $(ARGS)
