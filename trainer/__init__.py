"""The bundled trainer: a small neural speech codec that trains in a minute on one CPU core.

`trainer.spec.BUNDLED` describes it without importing torch; `trainer.loop.train` trains it.
"""
