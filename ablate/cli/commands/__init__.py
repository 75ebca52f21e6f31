"""The commands, one file for each noun: parse, call one function of `ablate.app`, render."""
