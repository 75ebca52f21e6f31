"""Who speaks: one vector for a whole utterance.

Shapes: `B` batch, `C` channels, `S` length of the embedding, `T` samples or time steps.
"""

from __future__ import annotations

from torch import Tensor, nn

from trainer.model.layers import NormedConv

_STRIDES = (2, 2, 1, 1, 1, 1)
_KERNEL = 5


class SpeakerEncoder(nn.Module):
    """Six dilated layers, two of them strided, and a pooling over time that is learnt.

    It sees the whole utterance: the speaker's is at hand before a conversion begins.

    Args:
        channels: Width of the layers.
        dim: Length of the embedding.

    Source: Yang et al. 2024, arXiv:2401.03078, section 2.2. Deviation: sizes are those of the study
    that `studies/scale-fix.yaml` repeats.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(
                NormedConv(
                    1 if i == 0 else channels,
                    channels,
                    kernel_size=_KERNEL,
                    stride=stride,
                    dilation=2**i,
                    causal=False,
                )
                for i, stride in enumerate(_STRIDES)
            ),
            nn.Conv1d(channels, dim, 1),
        )
        self.score = nn.Conv1d(dim, 1, 1)

    def forward(self, audio_BT: Tensor) -> Tensor:
        """Return ``(B, S)``."""
        frames_BST = self.layers(audio_BT.unsqueeze(1))
        weight_B1T = self.score(frames_BST).softmax(dim=2)
        return (frames_BST * weight_B1T).sum(dim=2)
