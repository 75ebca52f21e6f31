"""The codec and its quantizer."""

from trainer.model.codec import Codec, CodecOutput, build_codec
from trainer.model.lookup import Quantized
from trainer.model.quantizer import ResidualQuantizer

__all__ = ["Codec", "CodecOutput", "Quantized", "ResidualQuantizer", "build_codec"]
