"""Write the model of a frozen family: nothing is trained, files of the user that it needs are read once."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from evenhand.models.family import Frozen, build, made_with, parameter_count, save_weights
from evenhand.models.registry import declared
from evenhand.splits.manifests import ids_of, read_draw, read_images, read_names, rows_of, sum_of_draw
from evenhand.training.devices import make_deterministic
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import sha256_of, write_json
from evenhand.workflow.seeds import derive_seed


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--test", required=True, help="splits/run<r>/test.csv: images that the model will be tested on")
    parser.add_argument("--manifest", required=True, help="splits/run<r>/train_<set>.csv, which names no image")
    parser.add_argument("--train-set", required=True)
    parser.add_argument("--run", required=True, type=int)
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: seed and block model")
    parser.add_argument("--model", required=True, type=Path, help="output: model.safetensors")
    parser.add_argument("--run-record", required=True, type=Path, help="output: run.json")
    args = parser.parse_args(argv)

    torch.set_num_threads(1)
    make_deterministic()
    config = args.config
    name = config["model"]["family"]
    family = declared(name)
    torch.manual_seed(derive_seed(config["seed"], "weights"))  # of what the family's files leave out, if anything
    model = build(config["model"])
    if not isinstance(model, Frozen):
        raise UserError(
            f"model.family: {name} says TRAINED = False; expected a subclass of evenhand.models.family.Frozen"
        )
    test = ids_of(read_draw(args.test, args.run, None))
    model.prepare(read_images(args.images, rows_of(test, read_names(args.index))), test)
    save_weights(args.model, model, name)
    drawn = ids_of(read_draw(args.manifest, args.run, args.train_set))
    record = {
        "config": config,
        "train_set": args.train_set,
        "run": args.run,
        "n_images": len(drawn),
        "manifest_sha256": sum_of_draw(drawn),
        "parameters": parameter_count(model),
        **made_with(family),
        "model_sha256": sha256_of(args.model),
    }
    write_json(record, args.run_record)
    print(f"{name}: {record['parameters']:,} parameters, none of them trained here; {len(test)} test images")


if __name__ == "__main__":
    run(main)
