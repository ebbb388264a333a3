"""Images on their way between registries, image layouts and archives, and into indexes. Nothing is built here."""
