"""How alike neurons of the same index fire in two experts, and whether other pairs of indices would be as alike."""

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import torch

_SPECTRUM_FLOATS = 4_000_000
"""Tokens are transformed so many numbers at a time."""


@final
class IndexCorrelation:
    """Sums Pearson r over neuron indices between the activations of two experts, over all pairs and many tokens.

    Also what it would be if the indices of expert e were shifted in a circle by e times a
    step. That needs no second look at the tokens: the sum over pairs of the circular
    cross-correlations at lag (f − e) · step follows from the two-dimensional power
    spectrum over experts and indices, which adds up over tokens (Wiener–Khinchin).

    Args:
        sequences: number S of sequences.
        experts: E.
        neurons: m.
        device: where the sums are kept.
    """

    def __init__(self, sequences: int, experts: int, neurons: int, device: "torch.device") -> None:
        import torch

        self._experts, self._neurons = experts, neurons
        self._tokens = 0
        self.sums = torch.zeros(sequences, dtype=torch.float64, device=device)
        # Experts are padded to twice their number: their differences must not go round in a circle.
        self._power = torch.zeros(2 * experts, neurons // 2 + 1, dtype=torch.float64, device=device)

    def observe(self, activations: "torch.Tensor", sequence: "torch.Tensor") -> None:
        """Takes (n, E, m) activations of n tokens of the sequences (n,)."""
        rows = max(1, _SPECTRUM_FLOATS // (self._experts * self._neurons))
        for part, owner in zip(activations.split(rows), sequence.split(rows), strict=True):
            self._add(part, owner)

    def _add(self, activations: "torch.Tensor", sequence: "torch.Tensor") -> None:
        import torch

        if not len(activations) or self._experts < 2:
            return
        centred = activations - activations.mean(dim=-1, keepdim=True)
        length = centred.norm(dim=-1, keepdim=True)
        # An expert that fires everywhere alike has no pattern over indices but rounding: its correlations are 0.
        rounding = 8 * torch.finfo(activations.dtype).eps * activations.norm(dim=-1, keepdim=True)
        unit = torch.where(length > rounding, centred / length, 0.0)
        pairs = self._experts * (self._experts - 1)
        together = unit.sum(dim=1).square().sum(dim=-1) - unit.square().sum(dim=(1, 2))
        self.sums.index_add_(0, sequence, together.double() / pairs)
        spectrum = torch.fft.rfft2(unit, s=(2 * self._experts, self._neurons))
        self._power += torch.view_as_real(spectrum).square().sum(dim=(0, 3)).double()
        self._tokens += len(activations)

    def shifted(self) -> "torch.Tensor":
        """(m,) mean of r over tokens and pairs of experts for each step; step 0 leaves every index as it is."""
        import torch

        if not self._tokens or self._experts < 2:
            return torch.zeros(self._neurons, dtype=torch.float64)
        by_difference = torch.fft.irfft2(self._power.cpu().to(torch.complex128), s=(2 * self._experts, self._neurons))
        steps = torch.arange(self._neurons)
        total = torch.zeros(self._neurons, dtype=torch.float64)
        for difference in range(1, self._experts):
            total += by_difference[difference, (difference * steps) % self._neurons]
        return total / (self._experts * (self._experts - 1) / 2 * self._tokens)
