"""See inside: the paper's figures (query places, attention, predictions, failures) on the user's own pictures.

Nothing here computes a forward pass of its own: `observe` asks the network for its trace, and everything else reads it.
"""
