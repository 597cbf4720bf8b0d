"""Readers, the catalogue and the embedded corpus: everything that makes documents."""
