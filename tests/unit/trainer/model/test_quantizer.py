"""The quantizer: look-up, gradients, running means, restarts, first codes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.config.config import QuantizerConfig
from trainer.model.fsq import Bypass
from trainer.model.kmeans import kmeans, nearest
from trainer.model.quantizer import LayerLookup, ResidualQuantizer
from trainer.watching.diagnostics import code_use, perplexity


def make_quantizer(**changes: Any) -> ResidualQuantizer:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"n_quantizers": 2, "codebook_size": 8, "dim": 3, "init": "random"}
    return ResidualQuantizer(QuantizerConfig(**{**settings, **changes}))


def latents(steps: int = 50, *, seed: int = 1) -> Tensor:
    return torch.randn(2, 3, steps, generator=torch.Generator().manual_seed(seed))


def flat(x_BDT: Tensor) -> np.ndarray:
    return x_BDT.detach().transpose(1, 2).reshape(-1, x_BDT.shape[1]).double().numpy()


def test_lookup_finds_the_nearest_code() -> None:
    vectors, codes = flat(latents(3000)), np.random.default_rng(0).standard_normal((8, 3))

    found = nearest(torch.tensor(vectors), torch.tensor(codes))

    distances = ((vectors[:, None] - codes[None]) ** 2).sum(-1)
    np.testing.assert_array_equal(found.numpy(), distances.argmin(1))


def test_cosine_lookup_finds_the_nearest_direction() -> None:
    quantizer = make_quantizer(metric="cosine", update="gradient")
    book, z = quantizer.book(0), latents()

    found = book.lookup(torch.tensor(flat(z), dtype=torch.float32))

    codes = book.codes_VD.detach().double().numpy()
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    np.testing.assert_array_equal(found.numpy(), (flat(z) @ unit.T).argmax(1))


@pytest.mark.parametrize("ste", ["detached", "consistent", "rotation"])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_forward_is_the_sum_of_codes_however_gradients_pass(ste: str, metric: str) -> None:
    quantizer = make_quantizer(ste=ste, metric=metric, update="gradient")
    z = latents()

    found = quantizer(z, 2)

    residual, total = flat(z), np.zeros_like(flat(z))
    for index in range(2):
        code = quantizer.book(index).embed(found.lookups[index].codes_N).detach().double().numpy()
        np.testing.assert_allclose(found.lookups[index].residual_ND.numpy(), residual, atol=1e-5)
        total, residual = total + code, residual - code
    np.testing.assert_allclose(flat(found.plain_BDT), total, atol=1e-5)
    np.testing.assert_allclose(flat(found.output_BDT), total, atol=1e-5)


@pytest.mark.parametrize("ste", ["detached", "consistent"])
def test_copied_gradient_is_that_of_the_identity(ste: str) -> None:
    quantizer, z = make_quantizer(ste=ste), latents().requires_grad_()
    direction = latents(seed=2)

    (gradient,) = torch.autograd.grad((quantizer(z, 2).output_BDT * direction).sum(), z)

    torch.testing.assert_close(gradient, direction)


def test_rotated_gradient_keeps_its_angle_to_the_vector() -> None:
    # With one codebook: rotating (vector, gradient) onto (code, incoming gradient) keeps the angle.
    quantizer, z = make_quantizer(ste="rotation", n_quantizers=1), latents().requires_grad_()
    incoming = latents(seed=2)

    found = quantizer(z, 1)
    (gradient,) = torch.autograd.grad((found.output_BDT * incoming).sum(), z)

    def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    before = cosine(flat(z), flat(gradient))
    after = cosine(flat(found.output_BDT), flat(incoming))
    np.testing.assert_allclose(before, after, atol=1e-4)


def test_affine_learns_and_starts_without_effect() -> None:
    quantizer, z = make_quantizer(post_affine=True), latents()

    found = quantizer(z, 2)
    found.output_BDT.square().sum().backward()

    torch.testing.assert_close(found.output_BDT, found.plain_BDT)
    for index in range(2):
        scale = quantizer.book(index).post_scale
        assert scale is not None
        assert scale.grad is not None
        assert float(scale.grad.abs()) > 0


def test_commitment_values_are_those_of_their_formulas() -> None:
    for form, formula in (
        ("standard", lambda r, e: (r - e) ** 2),
        ("post_residual", lambda r, e: (r - 2 * e) ** 2),
    ):
        quantizer, z = make_quantizer(commitment=form), latents()

        found = quantizer(z, 2)

        terms = []
        for index, lookup in enumerate(found.lookups):
            e = quantizer.book(index).embed(lookup.codes_N).double().numpy()
            terms.append(formula(lookup.residual_ND.double().numpy(), e).mean())
        assert float(found.commitment) == pytest.approx(np.mean(terms), rel=1e-5)


def test_post_residual_commitment_at_a_random_book_is_known() -> None:
    # (r - 2e)^2 for 1024 random codes in 40 dimensions, normal inputs: 2.41 per element.
    quantizer = make_quantizer(
        codebook_size=1024, dim=40, n_quantizers=1, commitment="post_residual", update="gradient"
    )
    z = torch.randn(4, 40, 500, generator=torch.Generator().manual_seed(0))

    assert float(quantizer(z, 1).commitment) == pytest.approx(2.41, abs=0.05)


def test_commitment_trains_the_input_and_codebook_trains_the_codes() -> None:
    quantizer, z = make_quantizer(update="gradient"), latents().requires_grad_()

    found = quantizer(z, 2)
    to_input = torch.autograd.grad(found.commitment, [z], retain_graph=True)[0]
    found.codebook.backward()

    assert float(to_input.abs().sum()) > 0
    assert z.grad is None
    assert quantizer.book(0).codes_VD.grad is not None


def test_bypass_passes_its_input_on() -> None:
    z = latents()

    found = Bypass()(z, 2)

    assert found.output_BDT is z
    assert found.lookups == ()
    assert float(found.commitment) == 0
    assert float(code_use(found, 8)["train/rvq/explained_variance"]) == 1


def test_looking_up_changes_nothing() -> None:
    quantizer = make_quantizer()
    before = {k: v.clone() for k, v in quantizer.state_dict().items()}

    quantizer(latents(), 2)

    assert all(torch.equal(before[k], v) for k, v in quantizer.state_dict().items())


def test_running_means_without_memory_are_the_means_of_the_cells() -> None:
    quantizer = make_quantizer(ema_decay=0.0, n_quantizers=1)
    found = quantizer(latents(500), 1)

    quantizer.follow(found)

    residual, codes = found.lookups[0].residual_ND.numpy(), found.lookups[0].codes_N.numpy()
    for code in np.unique(codes):
        # Laplace smoothing moves counts of tens by 1e-5.
        np.testing.assert_allclose(
            quantizer.book(0).codes_VD[code].numpy(),
            residual[codes == code].mean(0),
            rtol=1e-4,
            atol=1e-5,
        )


def test_codes_without_hits_stay_where_they_are() -> None:
    quantizer = make_quantizer(n_quantizers=1)
    book = quantizer.book(0)
    before = book.codes_VD.clone()
    lookup = LayerLookup(torch.ones(4, 3), torch.zeros(4, dtype=torch.long))

    book.follow(lookup)

    torch.testing.assert_close(book.codes_VD[1:], before[1:], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(book.codes_VD[0], before[0], atol=1e-3)


def test_restart_moves_rare_codes_into_the_batch_and_not_twice() -> None:
    quantizer = make_quantizer(restart_below=0.5, n_quantizers=1)
    book, generator = quantizer.book(0), torch.Generator().manual_seed(0)
    book.counts_V.copy_(torch.tensor([0.1, 9, 9, 9, 0.4, 9, 9, 9]))
    lookup = quantizer(latents(), 1).lookups[0]
    kept = book.codes_VD[1].clone()

    moved, again = book.restart(lookup, generator), book.restart(lookup, generator)

    assert (int(moved), int(again)) == (2, 0)
    assert any(torch.equal(book.codes_VD[0], row) for row in lookup.residual_ND)
    assert torch.equal(book.codes_VD[1], kept)


def test_kmeans_finds_separated_clusters() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[-10, 0], [0, 10], [10, 0]])
    vectors = np.concatenate([c + 0.1 * rng.standard_normal((200, 2)) for c in centres])

    tries = [
        kmeans(torch.tensor(vectors, dtype=torch.float32), 3, torch.Generator().manual_seed(seed))
        for seed in range(10)
    ]

    # Lloyd's algorithm finds a local optimum; of ten starts at least one has a vector per cluster.
    found = next(t for t in tries if t.counts_V.tolist() == [200, 200, 200])
    order = found.centres_VD[:, 0].argsort()
    np.testing.assert_allclose(found.centres_VD[order].numpy(), centres, atol=0.05)


def test_kmeans_with_fewer_vectors_than_codes_repeats_them() -> None:
    found = kmeans(torch.eye(2), 5, torch.Generator().manual_seed(0))

    assert found.centres_VD.shape == (5, 2)
    assert torch.isfinite(found.centres_VD).all()


def test_fitting_explains_what_random_codes_do_not() -> None:
    random, fitted = make_quantizer(), make_quantizer()
    z = 3 + 0.1 * latents(400)

    fitted.fit(z, first=0, n_active=2, generator=torch.Generator().manual_seed(0))

    def explained(quantizer: ResidualQuantizer) -> float:
        return float(code_use(quantizer(z, 2), 8)["train/rvq/explained_variance"])

    assert explained(random) < 0
    assert explained(fitted) > 0.7


def test_fitting_later_codebooks_keeps_the_earlier_ones() -> None:
    quantizer = make_quantizer()
    first, second = (quantizer.book(i).codes_VD.clone() for i in range(2))

    quantizer.fit(latents(), first=1, n_active=2, generator=torch.Generator().manual_seed(0))

    assert torch.equal(quantizer.book(0).codes_VD, first)
    assert not torch.equal(quantizer.book(1).codes_VD, second)


def test_perplexity_has_its_known_limits() -> None:
    uniform, single = torch.arange(64) % 8, torch.zeros(64, dtype=torch.long)

    assert [float(v) for v in perplexity(uniform, 8)] == pytest.approx([8, 1])
    assert [float(v) for v in perplexity(single, 8)] == pytest.approx([1, 1 / 8])
    half = torch.tensor([0, 0, 1, 1])
    assert float(perplexity(half, 8)[0]) == pytest.approx(math.exp(math.log(2)))
