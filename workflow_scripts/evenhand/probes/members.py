"""The embeddings that a study probes: a source is one, or one per training set and run. The rule files import this."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenhand.probes.configuration import with_text_cells
from evenhand.workflow.planning import as_list, numbers_below


@dataclass(frozen=True)
class Member:
    """An embedding: its name in paths, its entry of `probe.sources`, and the model that it is of (else "" and 0)."""

    name: str
    entry: Mapping[str, Any]
    train_set: str = ""
    run: int = 0

    def described(self, study: str) -> dict[str, Any]:
        """What the tables call it; files may belong to another data set than the study."""
        entry = self.entry
        vae = "VAE" + ", all latents" * full_latents(entry) + ", unseen images" * of_unseen_images(entry)
        return {
            "member": self.name,
            "source": entry["name"],
            "dataset": entry.get("dataset", study),
            "model": entry.get("model", vae),
            "unseen": of_unseen_images(entry),
            "train_set": self.train_set,
            "run": self.run,
        }

    def settings(self, seed: int, probe: Mapping[str, Any]) -> dict[str, Any]:
        """What its job needs of the configuration; other sources do not touch it."""
        entry = self.entry
        images = {
            "id": "id",
            "group": None,
            "array": ("mu" if full_latents(entry) else "mu_pooled") if entry["kind"] == "vae" else None,
        }
        keys = ("id", "ids", "group", "array", "unmatched", "adapter")
        source = images | {key: entry[key] for key in keys if key in entry}
        for role in ("attributes", "diseases"):
            source[role] = [with_text_cells(target) for target in entry[role]]
        protocol = {key: value for key, value in probe.items() if key not in ("sources", "lookalike", "margin")}
        return {"seed": seed, "probe": protocol, "source": source}

    def inputs(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The files of its job by role, with `<results>` for the folder of the study; of `metadata` one or a list."""
        if self.entry["kind"] == "file":
            files = {"embeddings": self.entry["embeddings"], "metadata": self.entry["metadata"]}
            sums = lookalike_sums(self.entry, config["probe"], config["study"])
            return files | ({"sums": sums} if sums else {}) | {"checked": "<results>/checks/sources.txt"}
        files = {"clusters": "<results>/data/together.csv", "clusters_sum": "<results>/data/together.sha256"}
        if self.entry["kind"] == "openclip" or of_unseen_images(self.entry):
            folder = f"<results>/probes/{self.name}"
            return files | {
                "embeddings": f"{folder}/embeddings.npz",
                "metadata": f"{folder}/metadata.csv",
                "sums": f"{folder}/embeddings.sha256",
            }
        folder = f"<results>/runs/{self.train_set}/run{self.run}"
        return files | {
            "embeddings": f"{folder}/embeddings.npz",
            "metadata": f"{folder}/evaluation.parquet",
            "sums": f"{folder}/evaluation.sha256",
            "index": "<results>/data/images.csv",
            "record": "<results>/data/images.json",
        }

    def given(self, config: Mapping[str, Any]) -> list[str]:
        """Those of its files that the user gives: they are compared by content."""
        inputs = self.inputs(config)
        own = self.entry["kind"] == "file" and "sums" not in inputs
        return [inputs["embeddings"], *as_list(inputs["metadata"])] if own else []


def collected(members: Iterable[Member], config: Mapping[str, Any]) -> dict[str, Any]:
    """What the tables over all embeddings need of the configuration."""
    attributes = [target for entry in config["probe"]["sources"] for target in entry["attributes"]]
    rules = {
        "fractions": config["probe"]["fractions"],
        "margin": config["probe"]["margin"],
        "controls": sorted({target["name"] for target in attributes if target.get("control")}),
        "alpha": config["stats"]["alpha"],
        "min_runs": config["stats"]["min_runs"],
    }
    return {"embeddings": [member.described(config["study"]) for member in members], "rules": rules}


def members_of(sources: Sequence[Mapping[str, Any]], train_sets: Sequence[str], runs: int) -> dict[str, Member]:
    """All embeddings by name, in the order of `probe.sources`."""
    members = [
        member
        for entry in sources
        for member in (
            [
                Member(f"{entry['name']}.{name}.run{number}", entry, name, number)
                for name in train_sets
                for number in range(runs)
            ]
            if entry["kind"] == "vae"
            else [Member(entry["name"], entry)]
        )
    ]
    return {member.name: member for member in members}


def member_pattern(sources: Sequence[Mapping[str, Any]], train_sets: Sequence[str], runs: int) -> str:
    """A regular expression for the names of all embeddings, which does not grow with the design."""
    of_models = rf"\.(?:{'|'.join(train_sets)})\.run(?:{numbers_below(runs)})"
    return "|".join(re.escape(entry["name"]) + (of_models if entry["kind"] == "vae" else "") for entry in sources)


def full_latents(entry: Mapping[str, Any]) -> bool:
    """Whether a source takes every latent of the VAE, not their means over space."""
    return entry.get("latents") == "full"


def of_unseen_images(entry: Mapping[str, Any]) -> bool:
    """Whether a source takes all images that a VAE was not trained on, not its test sets alone."""
    return entry.get("images") == "unseen"


def lookalike_sums(entry: Mapping[str, Any], probe: Mapping[str, Any], study: str) -> str:
    """The sums of the generated embeddings that a source of kind `file` names; empty: they are the user's own files."""
    folder, _, name = entry["embeddings"].rpartition("/")
    generated = probe["lookalike"] and folder == f"results/{study}/lookalike"
    return f"{folder}/{name.partition('.')[0]}.sha256" if generated else ""
