"""Networks: images -> logits. One paper, one file; `catalog` knows them by name."""
