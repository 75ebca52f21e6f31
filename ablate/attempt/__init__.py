"""What lives in the training process and is of use outside it too: guards and gates."""
