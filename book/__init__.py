"""How the book is installed, executed, gated and built; the prose pages lie beside these modules."""
