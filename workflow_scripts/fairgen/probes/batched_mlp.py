"""Many small networks of one shape, trained as one batched computation with early stopping per network.

Networks differ in their rows (fold), their labels, their inputs (scaling, removed or erased features) and their
seed. Removing a feature multiplies its column by zero: the weights of that column then get no gradient and the
network is the one trained on the remaining columns (initial weights are drawn for the kept columns alone, so
this holds exactly, up to rounding). What a network learns does not depend on which others share its batch.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairgen.probes.networks import (
    PREDICTED_ROWS,
    Fitted,
    Labels,
    Loss,
    Network,
    NetworkInputs,
    NetworkTargets,
    Rows,
    forward,
)

# Parameters trained at a time on a CPU: with their gradients and two moments they stay in a cache of 32 MB.
CPU_PARAMETERS = 2_000_000
GPU_PARAMETERS = 200_000_000


@dataclass(frozen=True)
class MLPSettings:
    """Architecture, optimiser (AdamW) and stopping rule, the latter as in scikit-learn's MLPClassifier:

    after each epoch the validation score is taken; training ends once it has failed to rise by `tolerance` for more
    than `patience` epochs in a row, and the weights of the best epoch are kept.
    """

    hidden: tuple[int, ...] = (768, 256)
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    batch_size: int = 200
    max_epochs: int = 100
    patience: int = 5
    tolerance: float = 1e-4
    monitor: Literal["log_loss", "accuracy"] = "log_loss"
    precision: Literal["fp32", "bf16"] = "fp32"
    networks_per_batch: int = 0
    """Networks trained together, the bound on memory; 0 derives it from the size of a network and the device."""


def parameter_count(inputs: int, hidden: Sequence[int], outputs: int) -> int:
    """Weights and biases of one network."""
    sizes = [inputs, *hidden, outputs]
    return sum((a + 1) * b for a, b in pairwise(sizes))


def batch_capacity(inputs: int, outputs: int, settings: MLPSettings, device: torch.device) -> int:
    """How many networks are trained at a time."""
    if settings.networks_per_batch:
        return settings.networks_per_batch
    budget = GPU_PARAMETERS if device.type == "cuda" else CPU_PARAMETERS
    return max(1, budget // parameter_count(inputs, settings.hidden, outputs))


def fit_networks(
    matrix: Tensor, labels: Sequence[Labels], networks: Sequence[Network], settings: MLPSettings
) -> list[Fitted]:
    """Train every network; the answer has their order.

    Args:
        matrix: float32 (n, d) on the device to train on; it is there once, whatever the number of networks.
        labels: what `Network.labels` counts into.
    """
    groups: dict[tuple[Loss, int, int, int], list[int]] = defaultdict(list)
    for index, network in enumerate(networks):
        target = labels[network.labels]
        steps = -(-len(network.train) // settings.batch_size)
        rank = 0 if network.erase is None else network.erase[0].shape[1]
        groups[target.loss, target.values.shape[1], steps, rank].append(index)
    fitted: list[Fitted | None] = [None] * len(networks)
    for (loss, outputs, _, _), members in groups.items():
        size = batch_capacity(matrix.shape[1], outputs, settings, matrix.device)
        for start in range(0, len(members), size):
            chosen = members[start : start + size]
            for index, result in zip(
                chosen, _fit_batch(matrix, labels, [networks[i] for i in chosen], loss, settings), strict=True
            ):
                fitted[index] = result
    return [result for result in fitted if result is not None]


def _initial(network: Network, sizes: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Weights uniform as Glorot and Bengio (2010), with the kept features as fan-in; removed features get zeros."""
    kept = torch.from_numpy(network.kept)
    weights = []
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        fan_in = int(kept.sum()) if layer == 0 else inputs
        bound = (6.0 / (fan_in + outputs)) ** 0.5
        drawn = torch.rand(fan_in, outputs, generator=generator).mul_(2 * bound).sub_(bound)
        if layer == 0:
            drawn = torch.zeros(inputs, outputs).index_copy_(0, kept.nonzero()[:, 0], drawn)
        weights.append(drawn)
    return weights


def _epoch_order(networks: Sequence[Network], generators: Sequence[torch.Generator], width: int) -> Tensor:
    """A fresh order of each network's training rows, filled up to `width` with -1."""
    order = torch.full((len(networks), width), -1)
    for line, network, generator in zip(order, networks, generators, strict=True):
        count = len(network.train)
        line[:count] = torch.from_numpy(network.train)[torch.randperm(count, generator=generator)]
    return order


def _losses(logits: Tensor, target: Tensor, weight: Tensor, loss: Loss) -> Tensor:
    """Mean loss of each network over the labels known and the rows of positive weight (networks, batch)."""
    if loss == "softmax":
        # Rows of weight 0 fill up the batch; they may lack a label.
        each = torch.logsumexp(logits, -1) - (logits * target.nan_to_num()).sum(-1)
    else:
        known = ~target.isnan()
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, target.nan_to_num(), reduction="none").mul(
            known
        )
        each, weight = each.flatten(1), (weight[..., None] * known).flatten(1)
    return (each * weight).sum(1) / weight.sum(1).clamp_min(1)


def _accuracies(logits: Tensor, target: Tensor, weight: Tensor, loss: Loss) -> Tensor:
    """Share of right decisions of each network, over known labels."""
    if loss == "softmax":
        right = logits.argmax(-1) == target.argmax(-1)
        return (right * weight).sum(1) / weight.sum(1)
    known = ~target.isnan() & (weight > 0)[..., None]
    right = (logits > 0) == (target > 0.5)
    return (right & known).flatten(1).sum(1) / known.flatten(1).sum(1).clamp_min(1)


@torch.no_grad()
def _validate(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    inputs: NetworkInputs,
    rows: Tensor,
    targets: NetworkTargets,
    settings: MLPSettings,
) -> NDArray[np.float64]:
    """The score to be maximised of each network, on its own validation rows (networks, width; -1: none)."""
    parts = []
    for start in range(0, rows.shape[1], PREDICTED_ROWS):
        part = rows[:, start : start + PREDICTED_ROWS]
        x = inputs(part.clamp_min(0))
        with _casting(x.device, settings):
            parts.append(forward(weights, biases, x))
    logits = torch.cat(parts, 1)
    target, weight = targets(rows.clamp_min(0)), (rows >= 0).float()
    if settings.monitor == "accuracy":
        scores = _accuracies(logits, target, weight, targets.loss)
    else:
        scores = -_losses(logits, target, weight, targets.loss)
    answer: NDArray[np.float64] = scores.double().cpu().numpy()
    return answer


def _casting(device: torch.device, settings: MLPSettings) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16")


def _fit_batch(
    matrix: Tensor, labels: Sequence[Labels], networks: Sequence[Network], loss: Loss, settings: MLPSettings
) -> list[Fitted]:
    """Train networks with equally many steps per epoch together; one that has stopped leaves the batch."""
    device = matrix.device
    sizes = [matrix.shape[1], *settings.hidden, labels[networks[0].labels].values.shape[1]]
    generators = [torch.Generator().manual_seed(network.seed) for network in networks]
    drawn = [_initial(network, sizes, generator) for network, generator in zip(networks, generators, strict=True)]
    weights = [torch.stack(layer).to(device).requires_grad_() for layer in zip(*drawn, strict=True)]
    biases = [torch.zeros(len(networks), 1, size, device=device, requires_grad=True) for size in sizes[1:]]
    parameters = [*weights, *biases]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    inputs, targets = NetworkInputs(matrix, networks), NetworkTargets(labels, networks, loss, device)
    steps = -(-len(networks[0].train) // settings.batch_size)
    valid_rows = _padded([network.valid for network in networks]).to(device)
    stale = np.zeros(len(networks), dtype=int)
    best = np.full(len(networks), -np.inf)
    active = list(range(len(networks)))
    fitted = [Fitted([], [], 0, 0, float("-inf")) for _ in networks]
    for epoch in range(1, settings.max_epochs + 1):
        order = _epoch_order(
            [networks[i] for i in active], [generators[i] for i in active], steps * settings.batch_size
        ).to(device)
        for step in range(steps):
            rows = order[:, step * settings.batch_size : (step + 1) * settings.batch_size]
            weight, rows = (rows >= 0).float(), rows.clamp_min(0)
            x = inputs(rows)
            with _casting(device, settings):
                logits = forward(weights, biases, x)
            # The sum over networks: each network's gradient is that of its own mean loss.
            _losses(logits, targets(rows), weight, loss).sum().backward()
            optimiser.step()
            optimiser.zero_grad()
        scores = _validate(weights, biases, inputs, valid_rows, targets, settings)
        stays = []
        for place, (index, score) in enumerate(zip(active, scores, strict=True)):
            stale[index] = 0 if score >= best[index] + settings.tolerance else stale[index] + 1
            fitted[index].epochs = epoch
            if score > best[index]:
                best[index] = score
                fitted[index] = Fitted(
                    [weight[place].detach().cpu().clone() for weight in weights],
                    [bias[place, 0].detach().cpu().clone() for bias in biases],
                    epoch,
                    epoch,
                    float(score),
                )
            if stale[index] <= settings.patience:
                stays.append(place)
        if not stays:
            break
        if len(stays) < len(active):
            kept = torch.tensor(stays, device=device)
            parameters = _keep_networks(parameters, optimiser, kept)
            weights, biases = parameters[: len(weights)], parameters[len(weights) :]
            inputs.keep(kept)
            targets.keep(kept)
            valid_rows = valid_rows[kept]
            active = [active[place] for place in stays]
    return fitted


def _keep_networks(parameters: Sequence[Tensor], optimiser: torch.optim.Optimizer, kept: Tensor) -> list[Tensor]:
    """The parameters of the networks that go on, handed to the optimiser with their moments."""
    fewer = [parameter.detach()[kept].requires_grad_() for parameter in parameters]
    for old, new in zip(parameters, fewer, strict=True):
        state = optimiser.state.pop(old)
        moments = {name: state[name][kept] for name in ("exp_avg", "exp_avg_sq")}
        optimiser.state[new] = state | moments
    optimiser.param_groups[0]["params"] = fewer
    return fewer


def _padded(rows: Sequence[Rows]) -> Tensor:
    """Row numbers of unequal counts as one table, filled up with -1."""
    table = torch.full((len(rows), max(map(len, rows))), -1)
    for line, numbers in zip(table, rows, strict=True):
        line[: len(numbers)] = torch.from_numpy(numbers)
    return table
