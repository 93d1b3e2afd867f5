"""The queue plot: what the action queue did in the last 30 s, as a picture on a topic."""
