"""In place of the package, whose weights come from a hub: a small model that embeds pictures always in the same way."""

import numpy as np
import torch
from PIL import Image


class Model(torch.nn.Module):
    def encode_image(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.flatten(1)


def preprocess(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(picture.resize((4, 4)), np.float32) / 255)


def create_model_from_pretrained(name: str) -> tuple[Model, object]:
    return Model(), preprocess
