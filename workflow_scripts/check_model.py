"""Check that a model family does what the workflow asks of it: make check-model MODEL=path.py:Class."""

import argparse
import json
from collections.abc import Sequence

import torch

from evenhand.models.conformance import check_model
from evenhand.training.devices import make_deterministic
from evenhand.workflow.errors import UserError, run


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="as model.family of a configuration: a name, or FILE.py:CLASS")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON, as model.options")
    args = parser.parse_args(argv)

    torch.set_num_threads(1)
    make_deterministic()
    wrong = 0
    for what, finding in check_model(args.model, args.options):
        print(f"{what}: {finding or 'as it should be'}", flush=True)
        wrong += bool(finding)
    if wrong:
        raise UserError(f"{args.model} does not do what the workflow asks of a model family: {wrong} findings above")


if __name__ == "__main__":
    run(main)
