"""The TES that engines see: sessions, policy, following tasks on the TES servers that run them."""
