"""What is logged beside the losses: diagnostics, validation, samples to hear and to see."""
