"""What goes wrong between a site and its cloud, one fault at a time, under traffic: see ``trial``."""
