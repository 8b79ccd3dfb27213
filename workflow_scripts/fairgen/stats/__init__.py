"""Statistics of the study: summary tables, tests and verdicts. Every table is computed by one function."""
