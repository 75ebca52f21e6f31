"""What follows for a variant: its runs against targets and silence, reasons and a verdict."""
