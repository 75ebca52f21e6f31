"""Residual vector quantizer: look-up, gradients past it, and how the codes learn.

Looking up changes nothing: the running means, restarts and first codes are explicit calls, so
that measuring a batch never touches the training.

Shapes: `B` batch, `D` code length, `T` time steps, `N` = B * T vectors, `V` codes of a codebook.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.config.config import QuantizerConfig
from trainer.model.gradients import copied, rotated
from trainer.model.kmeans import MAX_ITERATIONS, cell_sums, kmeans, nearest
from trainer.model.lookup import LayerLookup, Quantized, to_time
from trainer.parallel import add_up, follow_first

_SMOOTHING = 1e-5


class Codebook(nn.Module):
    """One set of codes with its optional scale, affine and running means."""

    codes_VD: Tensor
    counts_V: Tensor
    sums_VD: Tensor

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self._config = config
        codes_VD = torch.randn(config.codebook_size, config.dim)
        self.register_buffer("counts_V", torch.ones(config.codebook_size))
        if config.update == "ema":
            self.register_buffer("codes_VD", codes_VD)
            self.register_buffer("sums_VD", codes_VD.clone())
        else:
            self.codes_VD = nn.Parameter(codes_VD)
        self.scale = nn.Parameter(torch.ones(())) if config.metric == "cosine" else None
        self.post_scale = nn.Parameter(torch.ones(())) if config.post_affine else None
        self.post_bias = nn.Parameter(torch.zeros(())) if config.post_affine else None

    def lookup(self, vectors_ND: Tensor) -> Tensor:
        """Return the index of the best code for each vector, ``(N,)``; no gradient."""
        with torch.no_grad():
            if self._config.metric == "cosine":
                # The vectors' own length does not change which direction is nearest.
                return (vectors_ND @ functional.normalize(self.codes_VD, dim=1).T).argmax(dim=1)
            return nearest(vectors_ND, self.codes_VD)

    def embed(self, codes_N: Tensor) -> Tensor:
        """Return the code vectors, ``(N, D)``, with gradients to codes and scale."""
        if self.scale is None:
            return functional.embedding(codes_N, self.codes_VD)
        return (
            functional.embedding(codes_N, functional.normalize(self.codes_VD, dim=1)) * self.scale
        )

    def affine(self, vectors_ND: Tensor) -> Tensor:
        """Return the vectors behind the learned scale and bias, if there is one."""
        if self.post_scale is None or self.post_bias is None:
            return vectors_ND
        return vectors_ND * self.post_scale + self.post_bias

    @torch.no_grad()
    def fit(self, vectors_ND: Tensor, generator: torch.Generator) -> None:
        """Set the codes to k-means centres of the vectors, or to some of the vectors themselves."""
        iterations = MAX_ITERATIONS if self._config.init == "kmeans" else 0
        centres, counts = kmeans(
            vectors_ND, self._config.codebook_size, generator, iterations=iterations
        )
        self.codes_VD.copy_(centres)
        self.counts_V.copy_(counts)
        if self._config.update == "ema":
            self.sums_VD.copy_(centres * counts.unsqueeze(1))

    @torch.no_grad()
    def follow(self, lookup: LayerLookup) -> None:
        """Move the running means towards the batch; the codes with them where they are means.

        Source: van den Oord et al. 2017, arXiv:1711.00937, appendix A.1, with Laplace smoothing
        of the counts as in Razavi et al. 2019, arXiv:1906.00446.
        """
        keep = self._config.ema_decay
        if self._config.update != "ema":
            counts = torch.bincount(lookup.codes_N, minlength=self._config.codebook_size)
            add_up([counts])
            self.counts_V.mul_(keep).add_(counts, alpha=1 - keep)
            return
        sums, counts = cell_sums(lookup.residual_ND, lookup.codes_N, self._config.codebook_size)
        add_up([sums, counts])
        self.counts_V.mul_(keep).add_(counts, alpha=1 - keep)
        self.sums_VD.mul_(keep).add_(sums, alpha=1 - keep)
        total = self.counts_V.sum()
        smooth_V = (self.counts_V + _SMOOTHING) / (total + len(counts) * _SMOOTHING) * total
        self.codes_VD.copy_(self.sums_VD / smooth_V.unsqueeze(1))

    @torch.no_grad()
    def restart(self, lookup: LayerLookup, generator: torch.Generator) -> Tensor:
        """Move rarely hit codes to random vectors of the batch; return how many, 0-dim.

        The number of draws does not depend on how many codes are dead. A moved code starts with
        twice the threshold as its count, so that it is not moved again at once.

        Source: Dhariwal et al. 2020, arXiv:2005.00341, section 3 (random restarts).
        """
        size, vectors_ND = self._config.codebook_size, lookup.residual_ND
        draws = torch.randint(len(vectors_ND), (size,), generator=generator)
        dead_V = self.counts_V < self._config.restart_below
        fresh_VD = vectors_ND[draws.to(vectors_ND.device)]
        fresh_count = 2 * self._config.restart_below
        dead_V1 = dead_V.unsqueeze(1)
        self.codes_VD.copy_(torch.where(dead_V1, fresh_VD, self.codes_VD))
        if self._config.update == "ema":
            self.sums_VD.copy_(torch.where(dead_V1, fresh_VD * fresh_count, self.sums_VD))
        self.counts_V.masked_fill_(dead_V, fresh_count)
        follow_first([self.codes_VD])
        if self._config.update == "ema":
            follow_first([self.sums_VD])
        return dead_V.sum()


class ResidualQuantizer(nn.Module):
    """Codebooks in a row, each for what the ones before left."""

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        self.books = nn.ModuleList(Codebook(config) for _ in range(config.n_quantizers))

    def book(self, index: int) -> Codebook:
        """Return the codebook of that number."""
        book = self.books[index]
        assert isinstance(book, Codebook)
        return book

    def codes(self) -> list[Tensor]:
        """Return the codes of each codebook, ``(V, D)``."""
        return [self.book(index).codes_VD for index in range(len(self.books))]

    def forward(self, input_BDT: Tensor, n_active: int, kept_B: Tensor | None = None) -> Quantized:
        """Quantize with the first ``n_active`` codebooks.

        Args:
            input_BDT: Float32; what was left to mixed precision is too coarse for distances.
            n_active: At least 1.
            kept_B: From how many codebooks each item is put together; None for all. Codes are
                looked up and learn as if all were kept.
        """
        vectors_ND = input_BDT.transpose(1, 2).reshape(-1, self.config.dim)
        residual_ND = vectors_ND
        parts: list[Tensor] = []
        lookups: list[LayerLookup] = []
        commitments: list[Tensor] = []
        codebooks: list[Tensor] = []
        for index in range(n_active):
            book = self.book(index)
            lookup = LayerLookup(residual_ND.detach(), book.lookup(residual_ND.detach()))
            code_ND = book.embed(lookup.codes_N)
            lookups.append(lookup)
            parts.append(code_ND)
            commitments.append(self._commitment(residual_ND, code_ND))
            codebooks.append(functional.mse_loss(code_ND, residual_ND.detach()))
            residual_ND = residual_ND - code_ND.detach()
        if kept_B is not None:
            kept_N1 = kept_B.repeat_interleave(input_BDT.shape[2]).unsqueeze(1)
            parts = [part * (kept_N1 > index) for index, part in enumerate(parts)]
        output_ND = self._pass_gradient(vectors_ND, parts)
        plain_ND = torch.stack(parts).sum(dim=0).detach()
        return Quantized(
            to_time(output_ND, input_BDT),
            to_time(plain_ND, input_BDT),
            input_BDT.detach(),
            torch.stack(commitments).mean(),
            torch.stack(codebooks).mean(),
            tuple(lookups),
        )

    def _commitment(self, residual_ND: Tensor, code_ND: Tensor) -> Tensor:
        if self.config.commitment == "standard":
            return functional.mse_loss(residual_ND, code_ND.detach())
        # The residual was updated before, so that (r - e) is compared with e.
        return functional.mse_loss(residual_ND - code_ND.detach(), code_ND.detach())

    def _pass_gradient(self, vectors_ND: Tensor, parts: list[Tensor]) -> Tensor:
        """Return the sum of the codes, behind their affines, with a gradient to the input.

        The gradient enters through the first codebook alone: every further one sees a residual
        whose derivative by the input is zero under the copy.
        """
        if self.config.ste == "detached":
            total_ND = torch.stack(parts).sum(dim=0)
            return vectors_ND + (total_ND - vectors_ND).detach()
        copy = rotated if self.config.ste == "rotation" else copied
        through = [copy(vectors_ND, parts[0]), *(part.detach() for part in parts[1:])]
        return torch.stack([self.book(i).affine(p) for i, p in enumerate(through)]).sum(dim=0)

    def fit(
        self, input_BDT: Tensor, *, first: int, n_active: int, generator: torch.Generator
    ) -> None:
        """Fit codebooks ``first`` to ``n_active - 1`` to the batch, residual by residual."""
        with torch.no_grad():
            residual_ND = input_BDT.transpose(1, 2).reshape(-1, self.config.dim)
            for index in range(min(n_active, len(self.books))):
                book = self.book(index)
                if index >= first:
                    book.fit(residual_ND, generator)
                residual_ND = residual_ND - book.embed(book.lookup(residual_ND))

    def follow(self, quantized: Quantized) -> None:
        """Move the running means of every active codebook towards the batch."""
        for index, lookup in enumerate(quantized.lookups):
            self.book(index).follow(lookup)

    def restart(self, quantized: Quantized, generator: torch.Generator) -> Tensor:
        """Restart rarely hit codes; return how many of each active codebook."""
        moved = [
            self.book(index).restart(lookup, generator)
            for index, lookup in enumerate(quantized.lookups)
        ]
        return torch.stack(moved)
