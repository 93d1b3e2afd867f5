"""`./so101 cameras`: which cameras there are, what each delivers, and a picture of each to tell them apart."""
