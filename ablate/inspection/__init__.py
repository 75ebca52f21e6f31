"""What is in a checkpoint: every tensor with what can be said of it, alone and beside another."""
