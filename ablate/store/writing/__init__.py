"""What changes the tables: plans, leases, spools, imports. In their caller's transaction."""
