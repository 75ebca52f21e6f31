"""What is minimised: all terms, their sum, the adversary, and what trivial outputs would cost."""
