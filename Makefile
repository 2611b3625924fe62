.DEFAULT_GOAL := help
.PHONY: help setup run test check clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## Fetch the embedded PostgreSQL and the embedding model into .cache (once)
	@scripts/setup

run: ## Build and start Almanac with the sample documents and the sample database; Ctrl-C stops it
	@scripts/run

test: ## Run every test
	@scripts/setup --tests
	cargo test --locked --doc
	cargo test --locked --lib --bins --tests

check: setup ## Refuse unformatted code, every lint, and statements that .sqlx does not match
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	scripts/sqlx-prepare --check

clean: ## Remove what was built and fetched; data folders stay
	cargo clean
	rm -rf .cache
