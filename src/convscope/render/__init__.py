"""Numbers to pictures and pages; it knows arrays and recipes, not networks."""
