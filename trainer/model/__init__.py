"""The codec and its quantizer."""

from trainer.model.codec import Codec, CodecOutput, build_codec
from trainer.model.quantizer import Quantized, ResidualQuantizer

__all__ = ["Codec", "CodecOutput", "Quantized", "ResidualQuantizer", "build_codec"]
