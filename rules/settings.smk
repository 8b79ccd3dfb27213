# Settings. What grows with the design reaches the jobs as a file: a command line has an end. Needs the configuration;
# makes settings/*.json.

SETTINGS = {
    "design": as_json(
        {
            "seed": config["seed"],
            "splits": {key: value for key, value in config["splits"].items() if key != "starts"},
        }
    ),
    "train_sets": json.dumps(config["splits"]["train_sets"]),
    "study": json.dumps(config),
    "probes": as_json(collected(EMBEDDINGS.values(), config)),
}


# A script would have to be given the settings on its command line, and a `run` would read the whole workflow once more.
rule write_settings:
    input:
        source("rules/settings.jinja"),
    output:
        "<results>/settings/{settings}.json",
    log:
        "<logs>/write_settings/{settings}.log",
    wildcard_constraints:
        settings="|".join(SETTINGS),
    localrule: True
    params:
        text=lambda wildcards: SETTINGS[wildcards.settings],
    template_engine:
        "jinja2"
