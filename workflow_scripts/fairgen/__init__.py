"""fairgen: the library behind the workflow (plain functions, typed arguments, no Snakemake, no global state)."""
