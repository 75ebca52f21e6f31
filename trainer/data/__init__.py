"""What a run trains on: recordings or synthetic speech, as batches."""
