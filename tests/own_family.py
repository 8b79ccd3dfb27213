"""A model family of a user's own: an autoencoder of one layer, without latents that anything could be asked of."""

from torch import Tensor, nn, stack
from torch.nn import functional as F

from evenhand.models.architecture import Architecture
from evenhand.models.family import Family, Reconstruction


class Plain(Family):
    TITLE = "plain autoencoder"
    LOSS = "the mean squared error"
    TERMS = ("loss",)
    GIVES = ()

    def __init__(self, architecture: Architecture, channels: int = 8) -> None:
        super().__init__(architecture, channels=channels)
        self.down = nn.Conv2d(3, channels, 4, stride=4)
        self.up = nn.ConvTranspose2d(channels, 3, 4, stride=4)

    def noise_shape(self, side: int) -> tuple[int, ...]:
        return (0,)

    def training_terms(self, target: Tensor, noise: Tensor, perceptual: object, recipe: object) -> Tensor:
        return stack([F.mse_loss(self.reconstruct(target).image, target)])

    def reconstruct(self, target: Tensor) -> Reconstruction:
        return Reconstruction(self.up(self.down(target)).tanh())


class Careless(Plain):
    TITLE = "plain autoencoder, carelessly written"
    LOSS = "the mean squared error"
    TERMS = ("loss",)
    GIVES = ("latents",)

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.idle = nn.Linear(2, 2)
        self.steps = 0

    def training_terms(self, target: Tensor, noise: Tensor, perceptual: object, recipe: object) -> Tensor:
        self.steps += 1  # kept by no checkpoint
        return super().training_terms(target * (1 + self.steps % 7), noise, perceptual, recipe)
