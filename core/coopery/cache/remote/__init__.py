"""Caches that outlive a machine: step records and layers' blobs, kept where other machines find them."""
