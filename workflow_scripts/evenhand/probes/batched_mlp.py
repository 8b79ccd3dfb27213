"""Many small networks of one shape, trained as one batched computation with early stopping per network.

Networks differ in their rows (fold), their labels, their inputs (scaling, removed or erased features) and their
seed. Removed features are dropped: a network is trained on the columns it keeps, beside others that keep as many.
What a network learns does not depend on which others share its batch: it is what it learns alone and by autograd,
which is the plain version, in tests/test_probes_networks.py. Gradients are written out, as there are few of them, and
so are taken in the arithmetic of the multiplications; weights and the optimiser's moments are fp32.
"""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adamw import adamw

from evenhand.probes.networks import (
    PREDICTED_ROWS,
    Fitted,
    Network,
    Parameters,
    initial,
    network_inputs,
    padded,
    parameter_count,
)
from evenhand.probes.settings import MLPSettings
from evenhand.probes.targets import Labels, Loss

# Parameters and numbers of inputs held at a time by each thread of a CPU; one network is trained whatever it needs.
# The parameters, their gradients and two moments then stay in a cache of 32 MB.
CPU_PARAMETERS, CPU_INPUTS = 1_000_000, 400_000_000
# Of the free memory of a GPU: when networks stop, those that go on are copied, and a step needs room for activations.
GPU_SHARE = 0.4
# Matrix units of a GPU want rows and matrices to begin at multiples of 16 bytes, which 8 numbers of bf16 fill.
GPU_ALIGNMENT = 8


def batch_capacity(inputs: int, outputs: int, rows: int, settings: MLPSettings, device: torch.device) -> int:
    """How many networks of `rows` training and validation rows are trained at a time; on a GPU by what is free."""
    if settings.networks_per_batch:
        return settings.networks_per_batch
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return max(1, int(GPU_SHARE * free) // network_bytes(inputs, outputs, rows, settings, GPU_ALIGNMENT))
    parameters = parameter_count(inputs, settings.hidden, outputs)
    return max(1, min(CPU_PARAMETERS // parameters, CPU_INPUTS // (rows * inputs)))


def alignment_on(device: torch.device) -> int:
    """Of how many numbers the beginnings of rows and matrices are multiples."""
    return GPU_ALIGNMENT if device.type == "cuda" else 1


def network_bytes(inputs: int, outputs: int, rows: int, settings: MLPSettings, alignment: int) -> int:
    """Memory that a network of `rows` training and validation rows holds between two steps."""
    sizes = [padded(inputs, alignment), *settings.hidden, outputs]
    parameters = sum(padded(a * b, alignment) + padded(b, alignment) for a, b in pairwise(sizes))
    half = settings.precision == "bf16"
    # The table, its gradient and two moments are fp32, labels and their weights too; bf16 has copies of two tables.
    return parameters * (20 if half else 16) + (rows + 1) * (sizes[0] * (2 if half else 4) + 8 * outputs)


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
    """Inputs (networks, rows, columns), labels and weights (networks, rows, outputs) of a batch of networks.

    A weight is 1 where the label is known; rows that fill up the table have weight 0, columns that do so are 0.
    """

    def __init__(
        self,
        matrix: Tensor,
        labels: Sequence[Labels],
        networks: Sequence[Network],
        rows: Sequence[NDArray[np.int64]],
        width: int,
        columns: int,
        dtype: torch.dtype,
    ) -> None:
        count, outputs, device = len(networks), labels[networks[0].labels].values.shape[1], matrix.device
        self.inputs = torch.zeros(count, width, columns, dtype=dtype, device=device)
        self.labels = torch.full((count, width, outputs), torch.nan, device=device)
        for place, (network, numbers) in enumerate(zip(networks, rows, strict=True)):
            self.inputs[place, : len(numbers), : len(network.kept)] = network_inputs(matrix, network, numbers, dtype)
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


def _activations(parameters: Parameters, x: Tensor) -> list[Tensor]:
    """Inputs of each layer (networks, batch, units), and last the logits."""
    layers = [x]
    for number, (weight, bias) in enumerate(zip(parameters.weights, parameters.biases, strict=True)):
        if number:
            layers[-1].relu_()
        layers.append(torch.baddbmm(bias, layers[-1], weight))
    return layers


def _backward(parameters: Parameters, gradients: Parameters, layers: Sequence[Tensor], change: Tensor) -> None:
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
        self.alignment = alignment_on(self.device)
        self.kept = len(networks[0].kept)
        columns = padded(self.kept, self.alignment)
        self.sizes = [columns, *settings.hidden, labels[networks[0].labels].values.shape[1]]
        self.dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        self.steps = -(-len(networks[0].train) // settings.batch_size)
        # One row more than any network has: rows that fill up the last batch point there.
        width = max(len(network.train) for network in networks) + 1
        train = [network.train for network in networks]
        self.train = _Rows(matrix, labels, networks, train, width, columns, self.dtype)
        valid = [network.valid for network in networks]
        self.valid = _Rows(matrix, labels, networks, valid, max(map(len, valid)), columns, self.dtype)
        self.generators = [torch.Generator().manual_seed(network.seed) for network in networks]
        self.active = list(range(len(networks)))
        drawn = [initial(self.kept, self.sizes, self.alignment, generator) for generator in self.generators]
        table = torch.stack(drawn).to(self.device)
        self.taken = torch.zeros((), device=self.device)
        self._hold(table, torch.zeros_like(table), torch.zeros_like(table))

    def _hold(self, table: Tensor, mean: Tensor, square: Tensor) -> None:
        """Take `table` (networks, parameters; fp32) as the weights, and the moments of their gradients."""
        self.table, self.mean, self.square, self.gradient = table, mean, square, torch.zeros_like(table)
        # With bf16 the multiplications see a rounded copy of the weights and give rounded gradients.
        self.used = Parameters(table.to(self.dtype), self.sizes, self.alignment)
        self.gradients = Parameters(self.gradient.to(self.dtype), self.sizes, self.alignment)

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
            stays, improved = [], []
            for place, (index, score) in enumerate(zip(self.active, self._validate(), strict=True)):
                stale[index] = 0 if score >= best[index] + settings.tolerance else stale[index] + 1
                last[index] = epoch
                if score > best[index]:
                    best[index] = score
                    improved.append(place)
                if stale[index] <= settings.patience:
                    stays.append(place)
            # One copy for all of them: each would wait for the device.
            for place, parameters in zip(improved, self.table[improved].cpu(), strict=True):
                kept[self.active[place]] = (epoch, parameters.clone())
            if not stays:
                break
            if len(stays) < len(self.active):
                self._keep(torch.tensor(stays, device=self.device))
        fitted = []
        for (epoch, parameters), epochs, score in zip(kept, last, best, strict=True):
            layers = Parameters(parameters[None], self.sizes, self.alignment)
            weights, biases = [weight[0] for weight in layers.weights], [bias[0, 0] for bias in layers.biases]
            weights[0] = weights[0][: self.kept]
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
