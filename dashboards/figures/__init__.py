"""Each figure in a pair: an info, tested on numbers, and the figure drawn from it."""
