"""The published training loop written plainly: what `train_step.py` compares ours with.

fp32 on a processor or fp16 autocast with loss scaling on CUDA, default memory format, input and reconstruction through
VGG19 together, a DataLoader over JPEG files, four losses read at every step. It is measured in `best_mode`.
"""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from evenhand.models.architecture import Architecture
from evenhand.models.perceptual import VGG19_LAYERS
from evenhand.models.vae import VAE
from evenhand.training.devices import make_deterministic
from evenhand.training.recipe import Recipe


def best_mode() -> None:
    """The settings under which this loop is fastest: cuDNN tries its algorithms, and fp32 products may be TF32."""
    make_deterministic(False)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True


class Photographs(Dataset[Tensor]):
    """JPEG files as tensors (3, S, S) in [-1, 1]: shorter side resized, centre crop, flipped half of the time."""

    def __init__(self, folder: Path, side: int) -> None:
        self.paths, self.side = sorted(folder.glob("*.jpg")), side

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        image = Image.open(self.paths[index]).convert("RGB")
        scale = self.side / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
        left, top = (image.width - self.side) // 2, (image.height - self.side) // 2
        pixels = np.array(image.crop((left, top, left + self.side, top + self.side)))
        if torch.rand(()) < 0.5:
            pixels = pixels[:, ::-1].copy()
        return torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1


class PublishedRecipe:
    """A model, its optimiser and a loop over one epoch."""

    def __init__(
        self, architecture: Architecture, features: dict[str, Tensor], folder: Path, side: int, recipe: Recipe,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.model, self.recipe, self.device = VAE(architecture).to(device).train(), recipe, device
        self.features = {name: tensor.to(device) for name, tensor in features.items()}
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=recipe.learning_rate)
        self.half = device.type == "cuda"
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.half)
        self.loader = DataLoader(
            Photographs(folder, side), recipe.batch_size, shuffle=True,
            num_workers=min(8, os.cpu_count() or 1) if self.half else 0, pin_memory=self.half,
            persistent_workers=self.half,
        )  # fmt: skip

    def perceptual(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        x, index, layers = torch.cat([reconstruction, images]), 0, []
        for layer in VGG19_LAYERS:
            if layer == "M":
                x = F.max_pool2d(x, 2)
                continue
            x = F.conv2d(x, self.features[f"conv{index}.weight"], self.features[f"conv{index}.bias"], padding=1)
            found, wanted = x.chunk(2)
            layers.append(F.mse_loss(found, wanted))
            x, index = F.relu(x), index + 1
        return torch.stack(layers).mean()

    def epoch(self) -> list[list[float]]:
        losses = []
        for batch in self.loader:
            images = batch.to(self.device)
            with torch.autocast(self.device.type, dtype=torch.float16, enabled=self.half):
                mu, logvar = self.model.encoder(images)
                reconstruction = self.model.decoder(mu + torch.exp(0.5 * logvar) * torch.randn_like(mu))
                mse = F.mse_loss(reconstruction, images)
                kl = (0.5 * (mu**2 + logvar.exp() - 1 - logvar)).mean()
                features = self.perceptual(reconstruction, images)
                loss = mse + self.recipe.kl_scale * kl + self.recipe.feature_scale * features
            self.optimizer.zero_grad()
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            losses.append([loss.item(), mse.item(), kl.item(), features.item()])
        return losses
