"""evenhand: the library behind the workflow (plain functions, typed arguments, no Snakemake, no global state).

In the order in which data flow through it:

data        tables and their adapters, photographs from wherever they are to one packed array, duplicates, synthetic
splits      the experimental design: which images each run trains on and tests on
models      the networks, and where trained weights lie; what is there for speed alone (fast)
training    the visible loop, checkpoints, devices
evaluation  what is measured on each test image, all of it declared in one module; what models make of these images
stats       summary tables, tests and verdicts; every table is computed by one function
probes      what embeddings give away: probes trained on many reduced versions of one matrix, with their controls
figures     a module per kind of figure: one function picks the numbers, one draws them, one puts them in words
report      the page of a study, of studies side by side, of a multiverse; what a study must state
workflow    what every stage needs: errors, files, tables, seeds, configuration, what is not done twice, provenance
"""
