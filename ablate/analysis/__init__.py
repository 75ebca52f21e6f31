"""What the runs say: frozen values in, frozen records out. Nothing here prints, plots or writes."""
