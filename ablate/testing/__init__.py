"""What tests of `ablate` and of its extensions need: contract suites, factories."""
