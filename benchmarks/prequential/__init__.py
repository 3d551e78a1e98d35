"""What visibility is worth: hit rate and NDCG by how late events become visible (`make bench-prequential`)."""
