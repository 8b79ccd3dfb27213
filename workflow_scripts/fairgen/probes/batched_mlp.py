"""Many small networks of one shape, trained as one batched computation with early stopping per network.

Networks differ in their rows (fold), their labels, their inputs (scaling, removed or erased features) and their
seed. Removed features are dropped: a network is trained on the columns it keeps, beside others that keep as many.
What a network learns does not depend on which others share its batch. Gradients are written out, as there are few
of them, and so are taken in the arithmetic of the multiplications; weights and the optimiser's moments are fp32.
"""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adamw import adamw

from fairgen.probes.networks import PREDICTED_ROWS, Fitted, Labels, Loss, Network, network_inputs

# Parameters and numbers of inputs held at a time, on a CPU by each thread; one network is trained whatever it needs.
# On a CPU the parameters, their gradients and two moments then stay in a cache of 32 MB.
CPU_PARAMETERS, CPU_INPUTS = 1_000_000, 400_000_000
GPU_PARAMETERS, GPU_INPUTS = 200_000_000, 4_000_000_000


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
    """Networks trained together (by each thread), the bound on memory; 0 derives it from their size and the device."""


def parameter_count(inputs: int, hidden: Sequence[int], outputs: int) -> int:
    """Weights and biases of one network."""
    sizes = [inputs, *hidden, outputs]
    return sum((a + 1) * b for a, b in pairwise(sizes))


def batch_capacity(inputs: int, outputs: int, rows: int, settings: MLPSettings, device: torch.device) -> int:
    """How many networks of `rows` training and validation rows are trained at a time."""
    if settings.networks_per_batch:
        return settings.networks_per_batch
    parameters, numbers = (GPU_PARAMETERS, GPU_INPUTS) if device.type == "cuda" else (CPU_PARAMETERS, CPU_INPUTS)
    return max(1, min(parameters // parameter_count(inputs, settings.hidden, outputs), numbers // (rows * inputs)))


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
        groups[target.loss, target.values.shape[1], steps, len(network.kept)].append(index)
    batches = []
    for (_, outputs, _, inputs), members in groups.items():
        rows = max(len(networks[i].train) + len(networks[i].valid) for i in members)
        size = batch_capacity(inputs, outputs, rows, settings, matrix.device)
        batches += [members[start : start + size] for start in range(0, len(members), size)]

    def fit(members: Sequence[int]) -> list[Fitted]:
        return _Batch(matrix, labels, [networks[index] for index in members], settings).fit()

    # On a CPU each thread trains batches of its own: nothing waits within a step, and no bit depends on their number.
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(
        threads if matrix.device.type == "cpu" else 1, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        results = list(pool.map(fit, batches))
    torch.set_num_threads(threads)
    fitted: dict[int, Fitted] = {}
    for members, many in zip(batches, results, strict=True):
        fitted.update(zip(members, many, strict=True))
    return [fitted[index] for index in range(len(networks))]


class _Rows:
    """Inputs (networks, rows, kept), labels and weights (networks, rows, outputs) of the rows of a batch of networks.

    A weight is 1 where the label is known; rows that fill up the table have weight 0.
    """

    def __init__(
        self,
        matrix: Tensor,
        labels: Sequence[Labels],
        networks: Sequence[Network],
        rows: Sequence[NDArray[np.int64]],
        width: int,
        dtype: torch.dtype,
    ) -> None:
        count, outputs, device = len(networks), labels[networks[0].labels].values.shape[1], matrix.device
        self.inputs = torch.zeros(count, width, len(networks[0].kept), dtype=dtype, device=device)
        self.labels = torch.full((count, width, outputs), torch.nan, device=device)
        for place, (network, numbers) in enumerate(zip(networks, rows, strict=True)):
            self.inputs[place, : len(numbers)] = network_inputs(matrix, network, numbers, dtype)
            self.labels[place, : len(numbers)] = torch.from_numpy(labels[network.labels].values[numbers]).to(device)
        self.weights = (~self.labels.isnan()).float()
        self.labels.nan_to_num_()

    def keep(self, places: Tensor) -> None:
        """Go on with the networks at `places` alone."""
        self.inputs, self.labels, self.weights = self.inputs[places], self.labels[places], self.weights[places]

    def take(self, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, labels and weights of the rows `order` (networks, batch) of each network."""
        offset = torch.arange(len(order), device=order.device)[:, None] * self.inputs.shape[1]
        index = (order + offset).flatten()
        parts = (self.inputs, self.labels, self.weights)
        taken = [part.flatten(0, 1).index_select(0, index).view(*order.shape, -1) for part in parts]
        return taken[0], taken[1], taken[2]


class _Parameters:
    """Weights and biases of a batch of networks in one table (networks, parameters), and views of it by layer."""

    def __init__(self, table: Tensor, sizes: Sequence[int]) -> None:
        self.table = table
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []
        start = 0
        for inputs, outputs in pairwise(sizes):
            middle = start + inputs * outputs
            self.weights.append(table[:, start:middle].view(len(table), inputs, outputs))
            self.biases.append(table[:, middle : middle + outputs].view(len(table), 1, outputs))
            start = middle + outputs


def _initial(sizes: Sequence[int], seed: torch.Generator) -> Tensor:
    """Parameters of one network: weights uniform as Glorot and Bengio (2010), biases 0."""
    parts = []
    for inputs, outputs in pairwise(sizes):
        bound = (6.0 / (inputs + outputs)) ** 0.5
        parts += [torch.empty(inputs * outputs).uniform_(-bound, bound, generator=seed), torch.zeros(outputs)]
    return torch.cat(parts)


def _activations(parameters: _Parameters, x: Tensor) -> list[Tensor]:
    """Inputs of each layer (networks, batch, units), and last the logits."""
    layers = [x]
    for number, (weight, bias) in enumerate(zip(parameters.weights, parameters.biases, strict=True)):
        if number:
            layers[-1].relu_()
        layers.append(torch.baddbmm(bias, layers[-1], weight))
    return layers


def _backward(parameters: _Parameters, gradients: _Parameters, layers: Sequence[Tensor], change: Tensor) -> None:
    """Write the gradients of all parameters, from the derivative `change` of the loss by the logits."""
    for number in reversed(range(len(parameters.weights))):
        torch.bmm(layers[number].transpose(1, 2), change, out=gradients.weights[number])
        torch.sum(change, 1, keepdim=True, out=gradients.biases[number])
        if number:
            change = torch.bmm(change, parameters.weights[number].transpose(1, 2))
            change = torch.ops.aten.threshold_backward(change, layers[number], 0)


def _scores(logits: Tensor, rows: _Rows, loss: Loss, monitor: str) -> NDArray[np.float64]:
    """The score to be maximised of each network: less the mean log loss, or the share of right decisions."""
    known = rows.weights
    if loss == "softmax":
        known = known[..., :1]
        if monitor == "accuracy":
            each = (logits.argmax(-1) == rows.labels.argmax(-1)).float()[..., None]
        else:
            each = ((logits * rows.labels).sum(-1) - logits.logsumexp(-1))[..., None]
    elif monitor == "accuracy":
        each = ((logits > 0) == (rows.labels > 0.5)).float()
    else:
        each = -torch.nn.functional.binary_cross_entropy_with_logits(logits, rows.labels, reduction="none")
    scores = (each * known).sum((1, 2)) / known.sum((1, 2)).clamp_min(1)
    answer: NDArray[np.float64] = scores.double().cpu().numpy()
    return answer


class _Batch:
    """Networks with equally many inputs and steps per epoch, trained together; one that has stopped leaves."""

    def __init__(
        self, matrix: Tensor, labels: Sequence[Labels], networks: Sequence[Network], settings: MLPSettings
    ) -> None:
        self.networks, self.settings, self.device = networks, settings, matrix.device
        self.loss = labels[networks[0].labels].loss
        self.sizes = [len(networks[0].kept), *settings.hidden, labels[networks[0].labels].values.shape[1]]
        self.dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        self.steps = -(-len(networks[0].train) // settings.batch_size)
        # One row more than any network has: rows that fill up the last batch point there.
        width = max(len(network.train) for network in networks) + 1
        train = [network.train for network in networks]
        self.train = _Rows(matrix, labels, networks, train, width, self.dtype)
        valid = [network.valid for network in networks]
        self.valid = _Rows(matrix, labels, networks, valid, max(map(len, valid)), self.dtype)
        self.generators = [torch.Generator().manual_seed(network.seed) for network in networks]
        self.active = list(range(len(networks)))
        table = torch.stack([_initial(self.sizes, generator) for generator in self.generators]).to(self.device)
        self.taken = torch.zeros((), device=self.device)
        self._hold(table, torch.zeros_like(table), torch.zeros_like(table))

    def _hold(self, table: Tensor, mean: Tensor, square: Tensor) -> None:
        """Take `table` (networks, parameters; fp32) as the weights, and the moments of their gradients."""
        self.table, self.mean, self.square, self.gradient = table, mean, square, torch.empty_like(table)
        # With bf16 the multiplications see a rounded copy of the weights and give rounded gradients.
        self.used = _Parameters(table.to(self.dtype), self.sizes)
        self.gradients = _Parameters(self.gradient.to(self.dtype), self.sizes)

    def _step(self) -> None:
        """AdamW on all networks at once."""
        if self.dtype != torch.float32:
            self.gradient.copy_(self.gradients.table)
        adamw(
            [self.table], [self.gradient], [self.mean], [self.square], [], [self.taken],
            fused=True, amsgrad=False, beta1=0.9, beta2=0.999, lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay, eps=1e-8, maximize=False,
        )  # fmt: skip
        if self.dtype != torch.float32:
            self.used.table.copy_(self.table)

    @torch.no_grad()
    def fit(self) -> list[Fitted]:
        """Train until every network has stopped."""
        settings = self.settings
        stale = np.zeros(len(self.networks), dtype=int)
        best = np.full(len(self.networks), -np.inf)
        last = np.zeros(len(self.networks), dtype=int)
        kept: list[tuple[int, Tensor]] = [(0, torch.empty(0))] * len(self.networks)
        for epoch in range(1, settings.max_epochs + 1):
            self._train_epoch()
            stays = []
            for place, (index, score) in enumerate(zip(self.active, self._validate(), strict=True)):
                stale[index] = 0 if score >= best[index] + settings.tolerance else stale[index] + 1
                last[index] = epoch
                if score > best[index]:
                    best[index], kept[index] = score, (epoch, self.table[place].cpu().clone())
                if stale[index] <= settings.patience:
                    stays.append(place)
            if not stays:
                break
            if len(stays) < len(self.active):
                self._keep(torch.tensor(stays, device=self.device))
        fitted = []
        for (epoch, parameters), epochs, score in zip(kept, last, best, strict=True):
            layers = _Parameters(parameters[None], self.sizes)
            weights, biases = [weight[0] for weight in layers.weights], [bias[0, 0] for bias in layers.biases]
            fitted.append(Fitted(weights, biases, int(epochs), epoch, float(score)))
        return fitted

    def _train_epoch(self) -> None:
        size = self.settings.batch_size
        order = torch.full((len(self.active), self.steps * size), self.train.inputs.shape[1] - 1)
        for line, index in zip(order, self.active, strict=True):
            count = len(self.networks[index].train)
            torch.randperm(count, generator=self.generators[index], out=line[:count])
        order = order.to(self.device)
        for step in range(self.steps):
            x, labels, weights = self.train.take(order[:, step * size : (step + 1) * size])
            layers = _activations(self.used, x)
            logits = layers.pop().float()
            answers = logits.softmax(-1) if self.loss == "softmax" else logits.sigmoid()
            known = weights[..., 0].sum(1)[:, None, None] if self.loss == "softmax" else weights.sum((1, 2), True)
            # The derivative of each network's own mean loss.
            change = (answers - labels).mul_(weights).div_(known.clamp_min(1))
            _backward(self.used, self.gradients, layers, change.to(self.dtype))
            self._step()

    def _validate(self) -> NDArray[np.float64]:
        blocks = self.valid.inputs.split(PREDICTED_ROWS, 1)
        logits = torch.cat([_activations(self.used, block)[-1] for block in blocks], 1)
        return _scores(logits.float(), self.valid, self.loss, self.settings.monitor)

    def _keep(self, places: Tensor) -> None:
        """Go on with the networks at `places` alone, their moments with them."""
        self._hold(self.table[places], self.mean[places], self.square[places])
        self.train.keep(places)
        self.valid.keep(places)
        self.active = [self.active[place] for place in places.tolist()]
