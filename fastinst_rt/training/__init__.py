"""Training: the published losses and recipe, partial labels, and exactly resumable runs."""
