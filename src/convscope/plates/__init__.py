"""Pages and figures made of several rooms."""
