"""Write the 16 frozen convolutions of VGG19 for the perceptual loss as one safetensors file."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save

from evenhand.models.vgg19 import fetch_imagenet_weights, random_weights, read_weights
from evenhand.workflow.errors import run
from evenhand.workflow.files import write_bytes, write_checksums
from evenhand.workflow.seeds import derive_seed


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"seed": ..., "weights": ...}')
    parser.add_argument("--downloads", required=True, type=Path, help="folder of downloaded files")
    parser.add_argument("--output", required=True, type=Path, help="safetensors file")
    parser.add_argument("--sums", help="its SHA-256")
    args = parser.parse_args(argv)

    weights = args.config["weights"]
    if weights == "random":
        tensors = random_weights(derive_seed(args.config["seed"], "vgg19"))
    elif weights == "imagenet":
        tensors = read_weights(fetch_imagenet_weights(args.downloads))
    else:
        tensors = read_weights(Path(weights))
    write_bytes(save(tensors, {"weights": weights}), args.output)
    write_checksums([args.output], args.sums)
    print(f"{args.output}: VGG19 features, weights: {weights}")


if __name__ == "__main__":
    run(main)
